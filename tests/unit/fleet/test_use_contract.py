"""What a contract allows step by step: hours, days, months, and the dearest steps first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.horizon import Horizon
from fleet.core.use_contract import UseAllowance, discharge_parts

EVENING = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)  # 17:00 in Amsterdam
FREE = UseAllowance(1, "Europe/Amsterdam", np.inf, np.inf, np.inf, np.inf, None, None, None)


def parts(allowance, *, steps=24, worth=None, starts_at=EVENING, discharge_kw=10.0):
    horizon = Horizon.uniform(starts_at, steps=steps, step_s=3600.0)
    value = np.full(steps, 0.2) if worth is None else np.asarray(worth, dtype=float)
    return discharge_parts(allowance, horizon, discharge_kw=discharge_kw, worth_per_kwh=value)


def test_without_limits_everything_is_allowed():
    part, cut = parts(FREE)
    assert part.tolist() == [1.0] * 24 and not cut.any()
    assert FREE.may_discharge_at(EVENING)


def test_hours_are_local_and_only_whole_steps_within_them_count():
    allowed = replace(FREE, discharge_from=time(18, 30), discharge_until=time(21))
    part, cut = parts(allowed, steps=6)  # 17:00 to 23:00 local
    assert part.tolist() == [0, 0, 1, 1, 0, 0] and not cut.any()
    assert not allowed.may_discharge_at(EVENING) and allowed.may_discharge_at(EVENING.replace(hour=18))


def test_hours_may_pass_midnight():
    allowed = replace(FREE, discharge_from=time(22), discharge_until=time(6))
    part, _ = parts(allowed)
    assert np.flatnonzero(part).tolist() == list(range(5, 13))  # 22:00 to 06:00


def test_what_is_left_of_a_day_goes_to_its_dearest_steps_and_tomorrow_begins_anew():
    allowed = replace(FREE, left_today_kwh=15.0, per_day_kwh=20.0)
    worth = [0.1, 0.4, 0.3, 0.1, 0.1, 0.1, 0.1] + [0.2] * 17
    part, cut = parts(allowed, worth=worth)
    assert part[:7].tolist() == [0, 1.0, 0.5, 0, 0, 0, 0]
    assert (10.0 * part[7:]).sum() == pytest.approx(20.0)
    assert cut[[0, 2, 3]].all() and not cut[1]


def test_the_month_binds_over_its_days_and_a_new_month_begins_anew():
    last_evening = datetime(2026, 11, 30, 16, 0, tzinfo=UTC)
    allowed = replace(FREE, left_today_kwh=50.0, per_day_kwh=50.0, left_this_month_kwh=5.0, per_month_kwh=100.0)
    part, _ = parts(allowed, starts_at=last_evening)
    assert (10.0 * part[:7]).sum() == pytest.approx(5.0)
    assert (10.0 * part[7:]).sum() == pytest.approx(50.0)
    part, _ = parts(replace(allowed, left_this_month_kwh=70.0))  # two days of one month
    assert (10.0 * part).sum() == pytest.approx(70.0)


def test_used_up_is_used_up():
    spent = replace(FREE, left_today_kwh=0.0, per_day_kwh=8.0)
    part, _ = parts(spent)
    assert not part[:7].any() and (10.0 * part[7:]).sum() == pytest.approx(8.0)
    assert not spent.may_discharge_at(EVENING)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    st.floats(0.0, 60.0),
    st.floats(0.0, 60.0),
    st.floats(0.0, 120.0),
    st.floats(0.1, 50.0),
    st.integers(0, 23),
)
def test_no_plan_can_discharge_more_than_is_left(today, per_day, month, discharge_kw, hour):
    allowed = replace(FREE, left_today_kwh=today, per_day_kwh=per_day, left_this_month_kwh=month, per_month_kwh=1000.0)
    starts_at = EVENING.replace(hour=hour)
    part, _ = parts(allowed, starts_at=starts_at, discharge_kw=discharge_kw, steps=48)
    horizon = Horizon.uniform(starts_at, steps=48, step_s=3600.0)
    day = np.array([horizon.step_starts_at(k).timestamp() // 1 for k in range(48)])
    local = np.array([(at + 3600) // 86400 for at in day])  # Amsterdam in winter
    kwh = discharge_kw * part
    for number, one in enumerate(np.unique(local)):
        assert kwh[local == one].sum() <= (today if number == 0 else per_day) + 1e-6
    assert kwh.sum() <= month + 1e-6
    assert ((part >= 0) & (part <= 1)).all()
