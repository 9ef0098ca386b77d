"""Departures: forecast once, planned for, and compared with what came."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from aggregator.models import DepartureForecast, Plan, PresenceResiduals
from aggregator.operations.departures import forecast_departures, record_departures
from aggregator.operations.plans import plan_event, plan_region
from aggregator.operations.presence import AHEAD_H, presence_deviation, update_presence_residuals
from aggregator.queries.forecasts import departure_scores
from common.horizon import Horizon
from fleet.models import ChargingSession, Region
from fleet.queries.assets import fleet_snapshot
from tests.integration.aggregator.parked_fleet import NOW, park_fleet
from tests.integration.aggregator.test_plans import ask

pytestmark = pytest.mark.django_db(transaction=True)

EARLY = 0.4  # of the stated stay, after which one in ten has left


@pytest.fixture
def region(transactional_db: None) -> Region:
    return park_fleet()


def remember_stays(*, each: int = 20, fractions: tuple[float, ...] = (EARLY, 1.1), early: int = 2) -> None:
    """Past stays of every car: `early` of them ended after 40 % of the stated time, the others after it."""
    stays = []
    for session in ChargingSession.objects.filter(ended_at__isnull=True):
        for number in range(each):
            starts_at = NOW - timedelta(days=1 + number)
            stated = timedelta(hours=9)
            lasted = stated * (fractions[0] if number < early else fractions[1])
            stays.append(
                ChargingSession(
                    charger_id=session.charger_id,
                    evse_id=session.evse_id,
                    vehicle_id=session.vehicle_id,
                    transaction_id=f"past-{session.pk}-{number}",
                    started_at=starts_at,
                    departure_at=starts_at + stated,
                    ended_at=starts_at + lasted,
                )
            )
    ChargingSession.objects.bulk_create(stays)


def test_without_stays_to_learn_from_the_drivers_word_stands(region: Region) -> None:
    plan = Plan.objects.get(pk=plan_region(region_id=region.pk, trigger="schedule", now=NOW).plan_id)
    assert plan.departure_basis == {"stated": 24} and plan.probability == 0.95
    assert all(row.leaves_after == row.stated_at and row.probability is None for row in DepartureForecast.objects.all())


def test_drivers_who_leave_early_have_their_energy_by_then(region: Region) -> None:
    before = Plan.objects.get(pk=plan_region(region_id=region.pk, trigger="schedule", now=NOW).plan_id)
    DepartureForecast.objects.all().delete()
    remember_stays()
    later = NOW + timedelta(seconds=1)
    plan = Plan.objects.get(pk=plan_region(region_id=region.pk, trigger="schedule", now=later).plan_id)
    assert plan.departure_basis == {"own": 24}
    needs = {a.asset_id: a for a in fleet_snapshot(region_id=region.pk, now=later).assets if a.kind == "evse"}
    told = {row.session_id: row for row in DepartureForecast.objects.all()}
    ends_s = np.cumsum(plan.step_h) * 3600.0

    def short_kwh(of: Plan) -> float:
        """Energy missing at the instants that cars may leave at, less what the plan says is impossible."""
        listed = {
            miss["asset_id"]: miss["kwh"] for miss in of.missed if miss["kind"] in ("early_need", "departure_need")
        }
        total = 0.0
        for row in of.schedules.filter(asset_id__in=needs):
            need = needs[row.asset_id]
            leaves_after = told[need.session_id].leaves_after
            assert leaves_after is not None
            step = int(np.searchsorted(ends_s, (leaves_after - plan.starts_at).total_seconds(), side="right")) - 1
            if step >= 0:
                total += max(0.0, need.required_kwh - row.energy_kwh[step] - listed.get(row.asset_id, 0.0))
        return total

    assert short_kwh(plan) < 0.1
    assert short_kwh(before) > 10.0  # planned to the stated departures, it would have left them short
    assert sum(row.leaves_after < row.stated_at for row in told.values()) > 12  # others need all the time they have


def test_a_forecast_stands_until_the_driver_says_otherwise(region: Region, django_assert_num_queries: object) -> None:
    remember_stays()
    assets = fleet_snapshot(region_id=region.pk, now=NOW).assets
    first = forecast_departures(region_id=region.pk, assets=assets, now=NOW)
    again = forecast_departures(region_id=region.pk, assets=assets, now=NOW + timedelta(hours=1))
    assert again == first and DepartureForecast.objects.count() == 24
    session = ChargingSession.objects.filter(ended_at__isnull=True).earliest("pk")
    stated = session.departure_at + timedelta(hours=3)
    ChargingSession.objects.filter(pk=session.pk).update(departure_at=stated)
    later = NOW + timedelta(hours=2)
    moved = forecast_departures(
        region_id=region.pk, assets=fleet_snapshot(region_id=region.pk, now=later).assets, now=later
    )
    assert DepartureForecast.objects.count() == 25
    assert moved[session.pk].leaves_after > first[session.pk].leaves_after


def test_reading_and_keeping_forecasts_takes_the_same_statements_for_any_number_of_cars(
    region: Region, django_assert_num_queries: object
) -> None:
    remember_stays()
    assets = fleet_snapshot(region_id=region.pk, now=NOW).assets
    few = [asset for asset in assets if asset.kind == "evse"][:2]
    with django_assert_num_queries(7):  # kept ones, stays, two of history, and the insert in its transaction
        forecast_departures(region_id=region.pk, assets=few, now=NOW)
    with django_assert_num_queries(7):
        forecast_departures(region_id=region.pk, assets=assets, now=NOW)
    with django_assert_num_queries(1):
        forecast_departures(region_id=region.pk, assets=assets, now=NOW)


def test_an_event_that_needs_discharge_is_planned_with_a_margin_for_cars_that_leave(region: Region) -> None:
    remember_stays(each=40, fractions=(0.1, 1.1), early=12)  # some thirty percent go within the hour
    view = ask(1400.0, notice_s=5400.0, length_s=600.0)
    plan = Plan.objects.get(pk=plan_event(event_id=view.event_id, now=NOW).plan_id)
    (margin,) = plan.event_margins
    assert margin["event_id"] == view.event_id
    assert 0.0 < margin["margin_kw"] < 400.0
    wanted = margin["target_kw"]
    targets = [kw for kw in plan.target_kw if kw is not None]
    assert max(targets) < wanted and min(targets) == pytest.approx(wanted - margin["margin_kw"], abs=1e-6)


def test_what_was_said_is_compared_with_what_was(region: Region) -> None:
    remember_stays()
    assets = fleet_snapshot(region_id=region.pk, now=NOW).assets
    forecast_departures(region_id=region.pk, assets=assets, now=NOW)
    assert record_departures(now=NOW + timedelta(hours=1)) == 0
    rows = list(DepartureForecast.objects.order_by("session_id"))
    gone = rows[:20]
    for number, row in enumerate(gone):
        early = timedelta(minutes=1)
        at = row.leaves_after - early if number < 2 else row.expected_at
        ChargingSession.objects.filter(pk=row.session_id).update(ended_at=at)
    ChargingSession.objects.filter(pk=rows[20].session_id).update(ended_at=NOW, stop_reason="Superseded")
    later = NOW + timedelta(days=6)
    assert record_departures(now=later) == 21
    assert record_departures(now=later) == 0
    (score,) = departure_scores(now=later, region_id=region.pk)
    assert (score.basis, score.forecasts) == ("own", 20)
    assert score.said == pytest.approx(0.95) and score.was == pytest.approx(0.9)
    assert score.left_early == pytest.approx(0.1)
    bias_h = sum((row.leaves_after - timedelta(minutes=1) - row.expected_at).total_seconds() / 3600 for row in gone[:2])
    assert score.bias_h == pytest.approx(bias_h / 20, rel=1e-6)
    assert score.error_h == pytest.approx(-bias_h / 20, rel=1e-6)


def test_how_cars_leave_together_is_learnt_from_what_was_foreseen(
    region: Region, django_assert_num_queries: object
) -> None:
    remember_stays()
    assets = fleet_snapshot(region_id=region.pk, now=NOW).assets
    forecast_departures(region_id=region.pk, assets=assets, now=NOW)
    # all go at once, long before anyone was expected to
    ChargingSession.objects.filter(ended_at__isnull=True).update(ended_at=NOW + timedelta(minutes=90))
    later = NOW + timedelta(hours=12)
    record_departures(now=later)
    assert update_presence_residuals(now=later) > 0
    kept = {row.ahead_h: row.residuals for row in PresenceResiduals.objects.filter(region=region)}
    assert set(kept) == set(AHEAD_H)
    assert len(kept[1.0]) == 2 and max(kept[1.0]) > 0 > min(kept[1.0])  # an hour on all were there; another, none
    horizon = Horizon.uniform(later, steps=4, step_s=3600.0)
    with django_assert_num_queries(1):
        deviation = presence_deviation(region_id=region.pk, horizon=horizon, probability=0.5)
    assert np.nanmax(deviation) > 0
    assert np.isnan(presence_deviation(region_id=region.pk, horizon=horizon, probability=0.95)).all()
