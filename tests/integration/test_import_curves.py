"""Importing prices and factors: slots as they are in the file, replaced as a whole, bad rows named by line and column."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from grid.models import EmissionFactor, PricePoint, PriceSeries
from grid.queries import emission_factors, prices
from tests.integration.places import REGION, register_test_place

pytestmark = pytest.mark.django_db
DAY = datetime(2023, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def place(db: None) -> None:
    register_test_place(now=datetime(2026, 1, 1, tzinfo=UTC))


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def run(command: str, *arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command(command, *arguments, "--region", REGION, "--json", stdout=out)
    return json.loads(out.getvalue())


def refused(command: str, *arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        call_command(command, *arguments, stdout=StringIO())
    assert caught.value.returncode == 2
    return str(caught.value)


HOURLY = "start_utc,price_eur_per_mwh\n2023-01-01T00:00Z,100\n2023-01-01T01:00Z,-20.5\n2023-01-01T02:00Z,0.0001\n"


def test_prices_keep_their_slots_and_become_per_kwh(tmp_path: Path) -> None:
    made = run("import_prices", written(tmp_path / "nl.csv", HOURLY), "--source", "a test")
    assert (made["slots"], made["slot_s"], made["currency"], made["series"]) == (3, 3600, "EUR", "nl:price_eur_per_mwh")
    region_id = PriceSeries.objects.get().region_id
    slots = prices(region_id=region_id, starts_at=DAY, ends_at=datetime(2023, 1, 1, 2, tzinfo=UTC))
    assert [slot.price_per_kwh for slot in slots] == [Decimal("0.1"), Decimal("-0.0205")]
    assert slots[0].ends_at == slots[1].starts_at == datetime(2023, 1, 1, 1, tzinfo=UTC)


def test_a_finer_import_replaces_the_coarser_one_without_overlap(tmp_path: Path) -> None:
    run("import_prices", written(tmp_path / "nl.csv", HOURLY), "--series", "nl")
    finer = "start,price_eur_kwh\n2023-01-01T01:00+00:00,0.3\n2023-01-01T01:30+00:00,0.4\n"
    made = run("import_prices", written(tmp_path / "finer.csv", finer), "--series", "nl")
    assert (made["slots"], made["replaced"], made["slot_s"]) == (2, 1, 1800)
    points = list(PricePoint.objects.order_by("starts_at"))
    assert [point.price_per_kwh for point in points] == [Decimal("0.1"), Decimal("0.3"), Decimal("0.4"), Decimal("0")]
    assert all(before.ends_at == after.starts_at for before, after in itertools.pairwise(points))


def test_a_zone_that_the_file_does_not_say_must_be_given(tmp_path: Path) -> None:
    path = written(tmp_path / "local.csv", "start,price_eur_kwh\n2023-01-01 00:00,0.3\n2023-01-01 00:30,0.4\n")
    error = refused("import_prices", path, "--region", REGION)
    assert "line 2" in error and "time zone" in error
    made = run("import_prices", path, "--time-zone", "Europe/Amsterdam")
    assert made["starts_at"] == "2022-12-31T23:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("start_utc,price_eur_per_mwh\n2023-01-01T00:00Z,1\n2023-01-01T01:00Z,x\n", (), "line 3: column"),
        ("start_utc,price\n2023-01-01T00:00Z,1\n", (), "no column is named with a unit"),
        (HOURLY.replace("eur", "jpy"), (), "The prices are in JPY"),
        (HOURLY, ("--time-zone", "Mars/Base"), "--time-zone"),
        (HOURLY, ("--column", "nothing"), "nothing"),
    ],
)
def test_what_cannot_be_imported_is_named(tmp_path: Path, text: str, arguments: tuple[str, ...], expected: str) -> None:
    error = refused("import_prices", written(tmp_path / "x.csv", text), "--region", REGION, *arguments)
    assert expected in error
    assert PricePoint.objects.count() == 0 and PriceSeries.objects.count() == 0


def test_of_several_columns_one_must_be_chosen_as_in_the_simulation(tmp_path: Path) -> None:
    text = "start_utc,tokyo_eur_kwh,kyushu_eur_kwh\n2023-01-01T00:00Z,1,2\n2023-01-01T00:30Z,3,4\n"
    path = written(tmp_path / "jp.csv", text)
    error = refused("import_prices", path, "--region", REGION)
    assert error.startswith(path) and "Choose one with --price-column" in error
    assert run("import_prices", path, "--price-column", "kyushu_eur_kwh")["column"] == "kyushu_eur_kwh"
    assert PricePoint.objects.order_by("starts_at")[0].price_per_kwh == 2


def test_a_region_and_a_file_must_exist(tmp_path: Path) -> None:
    assert "There is no region 'none'" in refused(
        "import_prices", written(tmp_path / "x.csv", HOURLY), "--region", "none"
    )
    assert "There is no file" in refused("import_prices", str(tmp_path / "missing.csv"), "--region", REGION)


def test_factors_of_two_kinds_stay_apart(tmp_path: Path) -> None:
    text = "time_utc,moer_g_per_kwh\n2023-01-01 00:00:00+00:00,173\n2023-01-01 00:05:00+00:00,170\n"
    made = run("import_factors", written(tmp_path / "f.csv", text), "--kind", "marginal", "--series", "moer")
    assert (made["slots"], made["slot_s"], made["kind"]) == (2, 300, "marginal")
    assert EmissionFactor.objects.order_by("starts_at")[0].kg_per_kwh == pytest.approx(0.173)
    region_id = EmissionFactor.objects.select_related("series")[0].series.region_id
    window = {"region_id": region_id, "starts_at": DAY, "ends_at": datetime(2023, 1, 2, tzinfo=UTC)}
    assert len(emission_factors(kind="marginal", **window)) == 2 and emission_factors(kind="average", **window) == []
    error = refused(
        "import_factors", str(tmp_path / "f.csv"), "--region", REGION, "--kind", "average", "--series", "moer"
    )
    assert "another region or kind" in error
