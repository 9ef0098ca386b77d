"""Rebound: what participants draw together after a reduction, with the limit and without."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from aggregator.models import Plan
from aggregator.operations.plans import plan_event, plan_region
from fleet.models import ChargingSession
from fleet.queries.assets import fleet_snapshot
from grid.models import PricePoint
from grid.queries import EventView, event
from tests.integration.aggregator.parked_fleet import NOW, park_fleet, report_power
from tests.integration.aggregator.test_plans import ask

pytestmark = pytest.mark.django_db(transaction=True)


READ = NOW + timedelta(seconds=1)
LATER = NOW + timedelta(seconds=2)


def cheap_now() -> None:
    """Energy is cheap for two hours: after the event everybody wants to catch up at once."""
    PricePoint.objects.filter(starts_at__lt=NOW + timedelta(hours=2)).update(price_per_kwh="0.05")
    PricePoint.objects.filter(starts_at__gte=NOW + timedelta(hours=2)).update(price_per_kwh="0.15")
    ChargingSession.objects.update(departure_at=NOW + timedelta(hours=12), floor_soc_fraction=0.0)
    cars = ChargingSession.objects.values_list("evse__asset_id", flat=True)
    report_power(dict.fromkeys(cars, 2.0), at=READ)


def powers_after(plan: Plan, view: EventView, hours: float = 1.0) -> list[float]:
    """Total planned power of each step that begins within so long after the event's end."""
    starts_s = np.concatenate([[0.0], np.cumsum(plan.step_h)[:-1]]) * 3600.0
    first = (view.ends_at - plan.starts_at).total_seconds()
    total = sum(np.array(row.power_kw) for row in plan.schedules.all())
    return [float(total[k]) for k in np.flatnonzero((starts_s >= first - 1) & (starts_s < first + hours * 3600 - 1))]


def test_the_power_after_a_reduction_is_limited_and_drivers_still_leave_full(
    transactional_db: None, settings: Any
) -> None:
    region = park_fleet(vehicles=40, hub=False)
    cheap_now()
    view = ask(60.0, length_s=600.0)
    settings.REBOUND_FRACTION = 100.0
    free = Plan.objects.get(pk=plan_event(event_id=view.event_id, now=LATER).plan_id)
    planned = event(view.event_id)
    assert planned.baseline_kw is not None
    settings.REBOUND_FRACTION = 0.2
    limited = Plan.objects.get(pk=plan_event(event_id=view.event_id, now=LATER + timedelta(seconds=1)).plan_id)
    limit_kw = planned.baseline_kw + 0.2 * 60.0
    assert max(powers_after(free, view)) > limit_kw + 20.0, "without a limit it rebounds"
    assert max(powers_after(limited, view)) <= limit_kw + 0.1
    kinds = {miss["kind"] for miss in limited.missed}
    assert "rebound" not in kinds
    needs = {miss["asset_id"]: miss["kwh"] for miss in limited.missed if miss["kind"] == "departure_need"}
    assert needs == pytest.approx(
        {miss["asset_id"]: miss["kwh"] for miss in free.missed if miss["kind"] == "departure_need"}
    )
    assert limited.target_kw == pytest.approx(free.target_kw, nan_ok=True), "the record shows the event's target"
    assert region.pk == limited.region_id


def test_it_is_limited_still_once_the_event_is_over_and_not_for_ever(transactional_db: None, settings: Any) -> None:
    region = park_fleet(vehicles=40, hub=False)
    cheap_now()
    settings.REBOUND_FRACTION = 0.0
    view = ask(60.0, length_s=600.0)
    plan_event(event_id=view.event_id, now=LATER)
    planned = event(view.event_id)
    assert planned.baseline_kw is not None
    power = {a.asset_id: a.power_kw for a in fleet_snapshot(region_id=region.pk, now=LATER).assets}
    over = view.ends_at + timedelta(seconds=10)
    report_power(power, at=over)
    after = Plan.objects.get(pk=plan_region(region_id=region.pk, trigger="schedule", now=over).plan_id)
    total = sum(np.array(row.power_kw) for row in after.schedules.all())
    assert total[0] <= planned.baseline_kw + 0.1
    assert after.target_kw == []
    much_later = view.ends_at + timedelta(seconds=3700)
    report_power(power, at=much_later)
    free = Plan.objects.get(pk=plan_region(region_id=region.pk, trigger="schedule", now=much_later).plan_id)
    assert sum(np.array(row.power_kw) for row in free.schedules.all())[0] > planned.baseline_kw + 20.0


def test_drivers_needs_come_before_it_and_what_is_above_is_listed(transactional_db: None, settings: Any) -> None:
    park_fleet(vehicles=40, hub=False)
    cheap_now()
    ChargingSession.objects.update(departure_at=NOW + timedelta(minutes=70))
    settings.REBOUND_FRACTION = 0.0
    view = ask(60.0, length_s=600.0)
    plan = Plan.objects.get(pk=plan_event(event_id=view.event_id, now=LATER).plan_id)
    misses = [miss for miss in plan.missed if miss["kind"] == "rebound"]
    assert misses and all(miss["kw"] > 0 and miss["price"] > 0 and miss["event_id"] == view.event_id for miss in misses)
    baseline_kw = event(view.event_id).baseline_kw
    assert baseline_kw is not None and max(powers_after(plan, view)) > baseline_kw
