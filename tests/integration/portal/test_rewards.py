"""The page of the four rewards: for an owner, a site and the portfolio, in both languages, and its numbers by hand."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client

from aggregator.operations.settlements import settle_event
from aggregator.queries.rewards import rewards
from fleet.models import Owner
from fleet.queries.scopes import UnknownSite, scope_of_owner, scope_of_portfolio, scope_of_site
from grid.models import SiteYear
from grid.operations.certificates import CertificateInput, record_certificate, retire_certificate
from grid.operations.prices import FactorInput, PriceInput, record_factors, record_prices
from tests.integration.metering import meter_readings, store_readings
from tests.integration.places import OWNER, REGION, SITE
from tests.integration.test_settling import START, after, ask, build_fleet, meter
from tests.portal_world import World

pytestmark = pytest.mark.django_db


def test_every_reward_has_its_own_number() -> None:
    fleet = build_fleet()
    for asset_id in fleet.all:
        meter(asset_id)
    view = ask(fleet.all)
    settle_event(event_id=view.event_id, now=after(view))
    pack = scope_of_site(SITE)
    assert set(pack.asset_ids) == set(fleet.all) and pack.pack_asset_ids == (fleet.pack,)
    owner = Owner.objects.get(identity=OWNER)
    window = {"starts_at": START, "ends_at": START + timedelta(hours=1)}
    own = rewards(scope_of_owner(owner.pk, at=START), **window, owner_identity=OWNER)
    assert [(line.service, line.amount) for line in own.earned] == [("flexibility", Decimal("2.4"))]
    everything = rewards(scope_of_portfolio(), **window, everything=True)
    assert [(line.currency, line.amount) for line in everything.earned] == [("EUR", Decimal(9))]


def test_inventory_matching_and_the_worth_of_hours_by_hand() -> None:
    fleet = build_fleet()
    scope = scope_of_site(SITE)
    # 4 kW in the first hour, 1 kW in the second
    store_readings(
        meter_readings(
            fleet.pack,
            starts_at=START - timedelta(minutes=10),
            ends_at=START + timedelta(hours=2, minutes=10),
            every_s=600,
            power_kw=lambda at: 4.0 if at < START + timedelta(hours=1) else 1.0,
        ),
        now=START + timedelta(hours=3),
    )
    hours = [START, START + timedelta(hours=1), START + timedelta(hours=2)]
    record_prices(
        series_code="day-ahead", region_id=scope.region_id, currency="EUR", source="a test",
        points=[PriceInput(hours[0], hours[1], 0.1), PriceInput(hours[1], hours[2], 0.3)],
    )  # fmt: skip
    for kind, kg in (("average", 0.4), ("marginal", 0.9)):
        record_factors(
            series_code=kind, region_id=scope.region_id, kind=kind, source="a test",
            points=[FactorInput(hours[0], hours[2], kg)],
        )  # fmt: skip
    lot = record_certificate(
        given=CertificateInput("EECS", "G-1", "go", REGION, hours[0], hours[1], Decimal(5)), now=START
    )
    retire_certificate(
        certificate_id=lot, kwh=Decimal(5), part_serial="G-1", retired_for=SITE, consumption_from=hours[0],
        consumption_until=hours[2], now=START,
    )  # fmt: skip
    found = rewards(scope, starts_at=hours[0], ends_at=hours[2])
    assert found.consumed_kwh == pytest.approx(5.0)
    # (0.2 − 0.1) · 4 + (0.2 − 0.3) · 1
    assert found.timing_value == pytest.approx(0.3) and found.currency == "EUR"
    assert found.inventory.location_kg == pytest.approx(2.0), "by the average factor alone"
    assert found.inventory.market_kg == pytest.approx(0.4) and found.matching.hourly_fraction == pytest.approx(0.8)
    assert found.matching.annual_fraction == pytest.approx(1.0)
    with pytest.raises(UnknownSite):
        scope_of_site("nowhere")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_pages(world: World, owner: Client, operator: Client, language: str) -> None:
    headers = {"Accept-Language": language}
    for browser, address in ((owner, "/my/rewards/"), (operator, "/ops/rewards/")):
        page = browser.get(address, headers=headers)
        assert page.status_code == 200 and 'id="r4"' in page.content.decode()
    assert owner.get("/ops/rewards/").status_code == 403
    assert operator.get("/ops/rewards/?site=nowhere").status_code == 404
    from fleet.models import Site

    site = Site.objects.order_by("pk").first()
    SiteYear.objects.create(site_identity=site.identity, year=2026, verified_kg=5000, allowances_kg=1000, source="t")
    assert "4,000" in operator.get(f"/ops/rewards/?site={site.identity}").content.decode()
