"""A market that speaks by files: offers written once, awards and orders read, mistakes named by file, line and column."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from common.errors import InvalidInput
from fleet.operations.assets import register_region
from grid.markets.csv_files.driver import CsvMarket
from grid.markets.driver import Offer
from grid.models import AwardSignal, MarketAward
from grid.operations.products import register_shipped_products

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
AWARDS = "reference,product,starts_at,ends_at,up_kw,capacity_price\nA-1,afrr,{},{},1000,5.25\n"
ORDERS = "reference,at,ordered_up_kw,frequency_hz\nA-1,{},800,\nA-1,{},0,49.95\n"


@pytest.fixture
def market(tmp_path: Path) -> CsvMarket:
    return CsvMarket(folder=tmp_path, requested_by="tso", region_code="NL")


def offer(**changes: object) -> Offer:
    given = {
        "reference": "OUR-1",
        "product_code": "afrr",
        "starts_at": START,
        "ends_at": START + timedelta(minutes=15),
        "up_kw": 1000.0,
        "down_kw": 0.0,
        "capacity_price": Decimal("5.25"),
        "currency": "EUR",
    }
    return Offer(**{**given, **changes})  # type: ignore[arg-type]


def test_an_offer_is_handed_over_once(market: CsvMarket, tmp_path: Path) -> None:
    assert market.submit(offer()) and not market.submit(offer())
    (written,) = (tmp_path / "offers").iterdir()
    assert written.read_text().splitlines()[1].startswith("OUR-1,afrr,2026-11-24T08:00:00+00:00")
    for wrong in ({"up_kw": 2000.0}, {"reference": "../up"}):
        with pytest.raises(InvalidInput) as caught:
            market.submit(offer(**wrong))
        assert caught.value.field == "reference"


def exchange(folder: Path) -> dict:
    out = StringIO()
    call_command("exchange_market", str(folder), "--client", "tso", "--region", "NL", stdout=out)
    return json.loads(out.getvalue())


@pytest.mark.django_db
def test_awards_and_orders_are_recorded_once(tmp_path: Path) -> None:
    register_shipped_products()
    register_region(code="NL", name="NL", country="NL", time_zone="Europe/Amsterdam", currency="EUR")
    for kind, text in (("awards", AWARDS), ("orders", ORDERS)):
        (tmp_path / kind).mkdir()
        times = [START.isoformat(), (START + timedelta(minutes=15)).isoformat()]
        (tmp_path / kind / "1.csv").write_text(text.format(*times))
    assert exchange(tmp_path) == {"awards": 1, "new_orders": 2}
    assert exchange(tmp_path) == {"awards": 1, "new_orders": 0}
    assert MarketAward.objects.get().capacity_price == Decimal("5.25")
    assert list(AwardSignal.objects.values_list("ordered_up_kw", "frequency_hz")) == [(800.0, None), (0.0, 49.95)]
    (tmp_path / "awards" / "2.csv").write_text("reference,product,starts_at,ends_at\nA-2,afrr,tomorrow,\n")
    with pytest.raises(CommandError, match=r"starts_at: awards/2.csv line 2: 'tomorrow' cannot be read"):
        exchange(tmp_path)
