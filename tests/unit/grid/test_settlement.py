"""Settlement against numbers worked by hand, and what must hold whatever the meters say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.clock import Interval
from common.errors import InvalidInput
from grid.core.settlement import (
    SettlementResult,
    SettlementTerms,
    event_slots,
    owed_fraction,
    ramp_mean_fraction,
    settle,
)

START = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
TERMS = SettlementTerms(
    direction="reduce",
    target_kw=100.0,
    starts_at=START,
    ends_at=START + timedelta(hours=1),
    slot_s=900,
    ramp_s=0,
    energy_price_per_kwh=Decimal("0.30"),
    capacity_price_per_kw=Decimal("0.50"),
    missed_price_per_kwh=Decimal("0.45"),
    tolerance_fraction=0.1,
    owner_share_fraction=Decimal("0.8"),
)


def settled(
    delivered_kw: np.ndarray | list[list[float]],
    terms: SettlementTerms = TERMS,
    *,
    baseline_kw: float = 50.0,
    complete: np.ndarray | None = None,
    has_owner: list[bool] | None = None,
) -> SettlementResult:
    """Settle assets that had a baseline and delivered so much, each, per slot."""
    delivered = np.asarray(delivered_kw, dtype=np.float64)
    lengths_h = [(end - start) / timedelta(hours=1) for start, end in _slots(terms)]
    sign = -1.0 if terms.direction == "reduce" else 1.0
    return settle(
        terms=terms,
        asset_ids=list(range(1, len(delivered) + 1)),
        baseline_kw=np.full(delivered.shape, baseline_kw),
        net_kwh=(baseline_kw + sign * delivered) * np.array(lengths_h),
        complete=np.ones(delivered.shape, dtype=bool) if complete is None else complete,
        has_owner=np.array([True] * len(delivered) if has_owner is None else has_owner),
    )


def _slots(terms: SettlementTerms) -> list[tuple[datetime, datetime]]:
    starts, at = [], terms.starts_at
    while at < terms.ends_at:
        starts.append((at, min(at + timedelta(seconds=terms.slot_s), terms.ends_at)))
        at += timedelta(seconds=terms.slot_s)
    return starts


def test_an_event_delivered_exactly() -> None:
    result = settled([[60.0] * 4, [40.0] * 4])
    assert result.delivered_kwh == result.target_kwh == Decimal(100)
    assert (result.energy_payment, result.capacity_payment, result.penalty) == (Decimal(30), Decimal(50), Decimal(0))
    assert [share.payment for share in result.shares] == [Decimal("38.4"), Decimal("25.6")]
    assert result.platform_payment == Decimal(16) and result.payment == Decimal(80)
    assert [step.delivered_kw for step in result.steps] == pytest.approx([100.0] * 4)
    assert result.steps[0].baseline_kw == 100.0 and result.steps[0].metered_kw == pytest.approx(0.0)


def test_what_is_short_within_the_tolerance_is_not_paid_and_not_punished() -> None:
    result = settled([[92.0] * 4])
    assert result.energy_payment == Decimal("27.6") and result.penalty == 0 and result.missed_kwh == 0


def test_what_is_short_beyond_the_tolerance_costs() -> None:
    result = settled([[50.0, 100.0, 100.0, 100.0]])
    # 90 kW were owed, 50 delivered: 40 kW for a quarter of an hour
    assert result.missed_kwh == Decimal(10) and result.penalty == Decimal("4.5")
    assert result.steps[0].payment == Decimal("3.75") - Decimal("4.5")
    assert result.capacity_payment == Decimal("43.75"), "the mean of 50, 100, 100 and 100 kW"


def test_what_is_over_the_target_is_not_paid() -> None:
    result = settled([[130.0] * 4])
    assert result.delivered_kwh == Decimal(130) and result.energy_payment == Decimal(30)
    assert result.capacity_payment == Decimal(50)


def test_working_against_the_event_costs_the_platform_and_no_owner() -> None:
    result = settled([[-20.0] * 4])
    assert result.energy_payment == 0 and result.missed_kwh == Decimal(110)
    assert result.payment == Decimal("-49.5") == result.platform_payment
    assert [share.payment for share in result.shares] == [0] and result.shares[0].delivered_kwh == Decimal(-20)


def test_an_asset_that_works_against_the_others_gets_nothing_and_pays_nothing() -> None:
    result = settled([[120.0] * 4, [-20.0] * 4])
    assert result.delivered_kwh == Decimal(100)
    assert [share.payment for share in result.shares] == [Decimal(64), Decimal(0)]


def test_nothing_delivered() -> None:
    result = settled([[0.0] * 4, [0.0] * 4])
    assert result.delivered_kwh == 0 and result.penalty == Decimal("40.5")
    assert result.platform_payment == result.payment == Decimal("-40.5")


def test_nobody_took_part() -> None:
    result = settled(np.zeros((0, 4)))
    assert result.shares == () and result.missed_kwh == Decimal(90) and len(result.steps) == 4


def test_in_the_ramp_nothing_is_owed_but_what_comes_is_paid() -> None:
    terms = replace(TERMS, ends_at=START + timedelta(seconds=75), slot_s=15, ramp_s=15)
    result = settled([[20.0, 100.0, 100.0, 100.0, 100.0]], terms)
    assert [step.in_ramp for step in result.steps] == [True, False, False, False, False]
    assert result.steps[0].target_kw == 50.0 and result.missed_kwh == 0 and result.penalty == 0
    assert result.steps[0].energy_payment == Decimal("0.025")
    assert result.capacity_payment == Decimal(50), "capacity is measured after the ramp"


def test_a_slot_that_the_ramp_ends_in_owes_the_rest_of_it() -> None:
    terms = replace(TERMS, ramp_s=300)
    assert owed_fraction(terms, _interval(terms, 0)) == pytest.approx(2 / 3)
    assert ramp_mean_fraction(terms, _interval(terms, 0)) == pytest.approx(1 - 300 / 900 / 2)
    result = settled([[40.0, 100.0, 100.0, 100.0]], terms)
    # two thirds of 90 kW are owed: 60; 40 came
    assert result.missed_kwh == Decimal(5)


def test_the_last_slot_may_be_short() -> None:
    terms = replace(TERMS, ends_at=START + timedelta(minutes=20))
    result = settled([[100.0, 100.0]], terms)
    assert result.delivered_kwh == result.target_kwh == Decimal("33.333333")
    assert result.steps[1].ends_at == terms.ends_at


def test_no_evidence_no_payment() -> None:
    complete = np.array([[True] * 4, [False] * 4])
    result = settled([[50.0] * 4, [50.0] * 4], complete=complete)
    assert result.delivered_kwh == Decimal(50)
    assert result.shares[1].delivered_kwh == 0 and result.shares[1].payment == 0
    unknown_baseline = settle(
        terms=TERMS,
        asset_ids=[1],
        baseline_kw=np.full((1, 4), np.nan),
        net_kwh=np.full((1, 4), -25.0),
        complete=np.ones((1, 4), dtype=bool),
        has_owner=np.array([True]),
    )
    assert unknown_baseline.delivered_kwh == 0 and unknown_baseline.steps[0].metered_kw == 0.0


def test_the_part_of_the_platforms_own_assets_stays_with_it() -> None:
    result = settled([[50.0] * 4, [50.0] * 4], has_owner=[True, False])
    assert [share.payment for share in result.shares] == [Decimal(32), Decimal(0)]
    assert result.platform_payment == Decimal(48)


def test_arrays_that_do_not_fit_are_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        settle(
            terms=TERMS,
            asset_ids=[1],
            baseline_kw=np.zeros((1, 3)),
            net_kwh=np.zeros((1, 4)),
            complete=np.ones((1, 4), dtype=bool),
            has_owner=np.array([True]),
        )
    assert caught.value.field == "baseline_kw"


def _interval(terms: SettlementTerms, index: int) -> Interval:
    return event_slots(terms)[index]


delivered_arrays = st.integers(1, 12).flatmap(
    lambda assets: arrays(np.float64, (assets, 4), elements=st.floats(-40, 60).map(lambda value: round(value, 4)))
)


@given(delivered=delivered_arrays, owners=st.lists(st.booleans(), min_size=12, max_size=12))
def test_every_total_is_the_sum_of_its_parts(delivered: np.ndarray, owners: list[bool]) -> None:
    result = settled(delivered, has_owner=owners[: len(delivered)])
    assert sum(share.delivered_kwh for share in result.shares) == result.delivered_kwh
    assert sum(step.delivered_kwh for step in result.steps) == result.delivered_kwh
    assert sum(share.payment for share in result.shares) + result.platform_payment == result.payment
    assert sum(step.payment for step in result.steps) + result.capacity_payment == result.payment
    assert all(share.payment >= 0 for share in result.shares), "an owner never pays for an event"
    assert result.penalty >= 0 and result.energy_payment >= 0


@given(delivered=delivered_arrays)
def test_both_directions_are_settled_alike(delivered: np.ndarray) -> None:
    down = settled(delivered)
    up = settled(delivered, replace(TERMS, direction="increase"))
    assert up.payment == pytest.approx(down.payment, abs=Decimal("0.001"))
    assert up.delivered_kwh == pytest.approx(down.delivered_kwh, abs=Decimal("0.00001"))
    assert [float(share.payment) for share in up.shares] == pytest.approx(
        [float(share.payment) for share in down.shares], abs=2e-3
    )


@given(delivered=delivered_arrays, more=st.floats(0.5, 30))
def test_delivering_more_never_pays_less(delivered: np.ndarray, more: float) -> None:
    assert settled(delivered + more).payment >= settled(delivered).payment
