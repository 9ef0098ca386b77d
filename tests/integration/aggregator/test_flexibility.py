"""What the portfolio says it could move: no more than its assets can, less the longer it is asked for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from aggregator.queries.flexibility import flexibility_now
from fleet.models import Consent, Region, VehicleGoal
from fleet.queries.assets import fleet_snapshot
from tests.integration.aggregator.parked_fleet import NOW, park_fleet

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def region(transactional_db: None) -> Region:
    return park_fleet()


def test_it_is_what_the_assets_can_move_and_falls_with_the_duration(region: Region) -> None:
    (found,) = flexibility_now(now=NOW)
    assets = fleet_snapshot(region_id=region.pk, now=NOW).assets
    assert found.region_code == region.code and found.assets == len(assets) and found.left_out == 0
    assert found.power_kw == pytest.approx(sum(asset.power_kw for asset in assets), abs=0.01)
    assert 0 < found.reduction_kw <= sum(asset.power_kw + asset.discharge_kw for asset in assets) + 0.01
    assert 0 < found.increase_kw <= sum(asset.charge_kw - asset.power_kw for asset in assets) + 0.01
    assert found.held[0].reduction_kw <= found.reduction_kw and found.held[0].increase_kw <= found.increase_kw
    for shorter, longer in pairwise(found.held):
        assert shorter.duration_h < longer.duration_h
        assert shorter.reduction_kw >= longer.reduction_kw and shorter.increase_kw >= longer.increase_kw
    assert found.held[-1].reduction_kw < found.reduction_kw, "nobody can reduce by all of it for four hours"


def test_who_withdrew_or_charges_now_is_left_out(region: Region) -> None:
    before = flexibility_now(now=NOW)[0]
    VehicleGoal.objects.filter(pk=VehicleGoal.objects.earliest("pk").pk).update(charge_now_until=NOW.replace(hour=23))
    Consent.objects.filter(vehicle=VehicleGoal.objects.latest("pk").vehicle, service="flexibility").update(
        withdrawn_at=NOW
    )
    after = flexibility_now(now=NOW)[0]
    assert after.left_out == 2 and after.assets == before.assets - 2
    assert after.reduction_kw < before.reduction_kw


def test_another_region_has_none_and_the_number_of_queries_does_not_grow(region: Region) -> None:
    assert flexibility_now(now=NOW, region_code="none") == []
    with CaptureQueriesContext(connection) as few:
        flexibility_now(now=NOW, region_code=region.code)
    assert len(few) <= 12
