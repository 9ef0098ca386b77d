"""Baselines from stored readings: which days and windows count by each programme's method, and who is watched."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from aggregator.models import Plan, PlannedSchedule
from aggregator.operations.baseline_watch import watch_baseline
from aggregator.operations.evidence import EventEvidence
from aggregator.operations.settlements import EventNotOver, settle_event
from common.errors import InvalidInput
from fleet.models import Asset, Region
from fleet.operations.assets import (
    EvseSpecification,
    register_charger,
    register_node,
    register_owner,
    register_region,
    register_site,
)
from grid.models import BaselineRule, EventState, GridEvent
from grid.operations.baseline_checks import review_baseline_check
from grid.operations.baseline_rules import register_shipped_baseline_rules, shipped_rules
from grid.operations.events import mark_planned, record_event
from grid.operations.programmes import register_programme, shipped_terms
from grid.queries import EventView, event, events_to_settle
from grid.queries.baseline_checks import baseline_checks, conspicuous_windows
from grid.queries.baseline_rules import baseline_rule
from tests.integration.metering import meter_readings, store_readings

pytestmark = pytest.mark.django_db

TOKYO = ZoneInfo("Asia/Tokyo")
# Tuesday; Monday the 23rd is Labour Thanksgiving Day
EVENING = datetime(2026, 11, 24, 18, 0, tzinfo=TOKYO).astimezone(UTC)
FIRST_DAY = datetime(2026, 10, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def japan() -> None:
    register_region(code="JP-3", name="Tokyo", country="JP", time_zone="Asia/Tokyo", currency="JPY")
    register_node(code="JP-3-1", region_code="JP-3")
    register_owner(identity="OWN", name="An owner")
    register_site(
        identity="SITE",
        kind="depot",
        grid_node_code="JP-3-1",
        import_limit_kw=500.0,
        export_limit_kw=500.0,
        owner_identity="OWN",
    )
    register_charger(
        identity="CP",
        protocol="ocpp2.1",
        site_identity="SITE",
        evses=[EvseSpecification(max_charge_kw=100.0, max_discharge_kw=100.0)],
    )
    shipped = next(terms for terms in shipped_terms(currency="JPY") if terms.code == "utility-dr-history")
    for method in [rule["code"] for rule in shipped_rules()]:
        terms = replace(shipped, code=method, baseline_method=method, notice_s=0, slot_s=1800, ramp_s=0)
        register_programme(region_code="JP-3", terms=terms)


def asset_of() -> int:
    return Asset.objects.get().pk


def ask(
    method: str, *, key: str = "", starts_at: datetime = EVENING, direction: str = "reduce", planned: bool = True
) -> EventView:
    recorded = record_event(
        requested_by="tso",
        idempotency_key=key or method,
        programme_code=method,
        direction=direction,
        target_kw=5.0,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=1),
        now=starts_at - timedelta(hours=3),
    ).event
    if planned:
        mark_planned(
            event_id=recorded.event_id, participants=[asset_of()], baseline_kw=None, now=starts_at - timedelta(hours=1)
        )
    return event(recorded.event_id)


def feed(
    levels: dict[int, float], *, window_kw: float = 1.0, today_window_kw: float = 1.0, today_kw: float = 0.0
) -> None:
    """Days back → power in the event's hour of that day; the hours before it at the window's power."""
    for back in sorted([*levels, 0], reverse=True):
        start = EVENING - timedelta(days=back)
        level, window = (levels[back], window_kw) if back else (today_kw, today_window_kw)
        store_readings(
            meter_readings(
                asset_of(),
                starts_at=start - timedelta(hours=6),
                ends_at=start + timedelta(hours=4),
                every_s=1200,
                power_kw=lambda at, start=start, level=level, window=window: (  # type: ignore[misc]
                    window if at < start else level if at < start + timedelta(hours=1) else 2.0
                ),
                import_kwh=(start - FIRST_DAY).total_seconds() / 36.0,
                export_kwh=0.0,
            ),
            now=start + timedelta(hours=4),
        )


def baseline_of(view: EventView) -> np.ndarray:
    (part,) = list(EventEvidence(view).parts())
    return part.baseline_kw[0]


def kept_days(view: EventView) -> list[int]:
    days = EventEvidence(view).history_days
    return [] if days is None else [round(shift / timedelta(days=1)) for shift in days.shifts]


def test_weekends_holidays_and_days_of_events_in_either_direction_are_left_out() -> None:
    # Friday 20th is 4 back; Thursday 19th had a reduction, Wednesday 18th an increase
    ask("ten_of_ten", key="down", starts_at=EVENING - timedelta(days=5), planned=False)
    ask("nominated", key="up", starts_at=EVENING - timedelta(days=6, hours=6), direction="increase", planned=False)
    feed({1: 90.0, 2: 90.0, 3: 90.0, 4: 10.0, 5: 90.0, 6: 90.0, 7: 8.0, 8: 9.0, 11: 7.0, 12: 6.0, 13: 50.0})
    view = ask("high_4_of_5")
    assert kept_days(view) == [4, 7, 8, 11], "10, 8, 9, 7 and 6 are looked at, and 6 is the smallest"
    assert baseline_of(view) == pytest.approx([8.5, 8.5])


def test_an_event_on_a_holiday_is_compared_with_days_of_rest() -> None:
    holiday = EVENING - timedelta(days=1)
    feed({1: 0.0, 2: 5.0, 3: 4.0, 4: 90.0, 9: 3.0, 10: 50.0})
    view = ask("high_4_of_5", starts_at=holiday)
    days = EventEvidence(view).history_days
    assert days is not None and [round(shift / timedelta(days=1)) for shift in days.shifts] == [1, 2]
    assert baseline_of(view) == pytest.approx([4.5, 4.5]), "of 5, 4 and 3 the two highest"


def test_high_5_of_10_takes_the_ratio_of_the_day_within_its_cap() -> None:
    days = [4, 5, 6, 7, 8, 11, 12, 13, 14, 15]
    feed(dict(zip(days, [10.0, 11, 9, 12, 9.5, 13, 10.5, 8.5, 11.5, 12.5], strict=True)), today_window_kw=1.1)
    view = ask("high_5_of_10")
    assert kept_days(view) == [5, 7, 11, 14, 15]
    assert baseline_of(view) == pytest.approx([13.2, 13.2]), "their mean is 12, a tenth more today"
    assert baseline_of(ask("ten_of_ten", key="k")) == pytest.approx([11.825, 11.825])


def test_a_device_metered_baseline_does_not_reward_charging_just_before() -> None:
    feed({4: 10.0, 5: 12.0}, today_window_kw=11.0)
    assert baseline_of(ask("device_metered")) == pytest.approx([11.0, 11.0])
    assert baseline_of(ask("high_4_of_5", key="k")) == pytest.approx([21.0, 21.0]), "as an additive adjustment does"


def test_windows_on_both_sides_and_when_they_are_known() -> None:
    feed({}, today_window_kw=12.0, today_kw=1.0)
    view = ask("same_day_3_plus_2")
    complete_at = view.ends_at + timedelta(hours=3)
    assert events_to_settle(now=complete_at) == []
    with pytest.raises(EventNotOver):
        settle_event(event_id=view.event_id, now=complete_at - timedelta(seconds=1))
    assert [due.event_id for due in events_to_settle(now=complete_at + timedelta(seconds=10))] == [view.event_id]
    settled = settle_event(event_id=view.event_id, now=complete_at)
    # three hours at 12 and two at 2 kW: 8 kW; 1 kW was drawn
    assert settled.baseline_method == "same_day_3_plus_2"
    assert [step.baseline_kw for step in settled.steps] == pytest.approx([8.0, 8.0])
    assert [step.delivered_kw for step in settled.steps] == pytest.approx([7.0, 7.0])
    assert baseline_of(ask("meter_before_after", key="k")) == pytest.approx([7.0, 7.0])


def test_a_long_window_with_a_hole_proves_nothing() -> None:
    view = ask("same_day_3_plus_2")
    for start, hours in ((EVENING - timedelta(hours=4), 0.7), (EVENING - timedelta(hours=2), 6.0)):
        store_readings(
            meter_readings(
                asset_of(),
                starts_at=start,
                ends_at=start + timedelta(hours=hours),
                every_s=600,
                power_kw=lambda at: 3.0,
                import_kwh=start.timestamp() / 1000,
            ),
            now=EVENING + timedelta(hours=4),
        )
    assert np.isnan(baseline_of(view)).all()


class TestWatch:
    def test_charging_before_the_event_is_seen_and_reviewed(self) -> None:
        feed({4: 5.0, 5: 5.0, 6: 5.0, 7: 5.0}, window_kw=2.0, today_window_kw=9.0)
        view = ask("high_4_of_5")
        assert watch_baseline(event_id=view.event_id, now=EVENING + timedelta(hours=2)) == 2
        every, single = baseline_checks(event_id=view.event_id)
        assert every.asset_id is None and single.asset_id == asset_of() and every.days == 4
        assert (single.today_kw, single.typical_kw, single.excess_kw) == pytest.approx((9.0, 2.0, 7.0))
        assert single.planned_kw is None and single.conspicuous
        assert [found.check_id for found in conspicuous_windows(limit=10)] == [every.check_id, single.check_id]
        with pytest.raises(InvalidInput):
            review_baseline_check(check_id=single.check_id, reviewed_by="op", verdict=" ", now=EVENING)
        review_baseline_check(check_id=single.check_id, reviewed_by="op", verdict="a new car", now=EVENING)
        watch_baseline(event_id=view.event_id, now=EVENING + timedelta(hours=3))
        reviewed = [found for found in baseline_checks(event_id=view.event_id) if found.verdict]
        assert len(reviewed) == 1 and len(conspicuous_windows(limit=10)) == 1, "what a person found stays"

    def test_what_the_platform_had_planned_is_not_conspicuous(self) -> None:
        feed({4: 5.0, 5: 5.0, 6: 5.0}, window_kw=2.0, today_window_kw=9.0)
        made_at = EVENING - timedelta(hours=6)
        plan = Plan.objects.create(
            region=Region.objects.get(),
            trigger="schedule",
            made_at=made_at,
            starts_at=made_at,
            step_h=[1.0] * 6,
            price_per_kwh=[0.0] * 6,
            status="optimal",
            solver="test",
            cost=0.0,
            lower_bound=0.0,
            gap=0.0,
            solve_s=0.0,
            asset_count=1,
        )
        PlannedSchedule.objects.create(plan=plan, asset_id=asset_of(), power_kw=[9.0] * 6, energy_kwh=[None] * 6)
        view = ask("high_4_of_5")
        assert watch_baseline(event_id=view.event_id, now=EVENING + timedelta(hours=2)) == 0
        (every,) = baseline_checks(event_id=view.event_id)
        assert (every.planned_kw, every.excess_kw, every.conspicuous) == (9.0, pytest.approx(7.0), False)

    @pytest.mark.parametrize("method", ["device_metered", "nominated"])
    def test_methods_that_the_day_does_not_move_have_nothing_to_watch(self, method: str) -> None:
        feed({4: 5.0, 5: 5.0}, today_window_kw=50.0)
        view = ask(method)
        assert (
            watch_baseline(event_id=view.event_id, now=EVENING) == 0 and baseline_checks(event_id=view.event_id) == []
        )


class TestRules:
    def test_the_rule_that_holds_at_the_start_applies(self) -> None:
        later = {**next(rule for rule in shipped_rules() if rule["code"] == "high_4_of_5"), "days_kept": 3}
        BaselineRule.objects.create(**{**later, "effective_from": EVENING, "source": "a changed guideline"})
        assert baseline_rule("high_4_of_5", EVENING - timedelta(seconds=1)).days_kept == 4
        assert baseline_rule("high_4_of_5", EVENING).days_kept == 3
        assert register_shipped_baseline_rules() == 0, "what is there stays"

    def test_unverified_constants_are_named(self) -> None:
        assert "window_from_s" in baseline_rule("high_4_of_5", EVENING).unverified
        for rule in shipped_rules():
            assert (
                set(rule["unverified"]) <= {field.name for field in BaselineRule._meta.get_fields()} and rule["source"]
            )

    def test_a_rule_that_keeps_more_days_than_it_sees_is_refused(self) -> None:
        fields = {**next(rule for rule in shipped_rules() if rule["code"] == "ten_of_ten"), "days_kept": 11}
        with pytest.raises(IntegrityError, match="baseline_rule_days"), transaction.atomic():
            BaselineRule.objects.create(**{**fields, "effective_from": EVENING})

    def test_an_event_called_off_spoils_no_day(self) -> None:
        view = ask("ten_of_ten", key="down", starts_at=EVENING - timedelta(days=4), planned=False)
        feed({4: 10.0})
        GridEvent.objects.filter(pk=view.event_id).update(state=EventState.CANCELLED)
        assert kept_days(ask("high_4_of_5")) == [4]
