"""Certificates and credits: once each, in the database itself."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from common.errors import InvalidInput
from fleet.operations.assets import register_region
from grid.models import Certificate, SiteYear
from grid.operations.certificates import (
    CertificateDiffers,
    CertificateInput,
    CertificateRetired,
    record_certificate,
    retire_certificate,
    transfer_certificate,
)
from grid.operations.credits import MonitoredDifferently, record_monitoring, register_credit_project
from grid.queries.carbon import NothingMonitored, credit_report, retired_lots, site_years

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 12, 1, tzinfo=UTC)
NOON, ONE = datetime(2026, 11, 24, 3, tzinfo=UTC), datetime(2026, 11, 24, 4, tzinfo=UTC)


@pytest.fixture
def lot() -> int:
    register_region(code="JP-9", name="Kyushu", country="JP", time_zone="Asia/Tokyo", currency="JPY")
    return record_certificate(given=given(), now=NOW)


def given(**changes: Any) -> CertificateInput:
    fields = {"registry": "JEPX", "serial": "S-1", "kind": "fit", "region_code": "JP-9", "kwh": Decimal(100)}
    return CertificateInput(**{**fields, "produced_from": NOON, "produced_until": ONE, **changes})


def retire(lot: int, kwh: str = "100", serial: str = "S-1", **changes: Any) -> int:
    asked = {"retired_for": "HUB-1", "consumption_from": NOON, "consumption_until": ONE, "now": NOW, **changes}
    return retire_certificate(certificate_id=lot, kwh=Decimal(kwh), part_serial=serial, **asked)


def test_a_lot_is_taken_over_once(lot: int) -> None:
    assert record_certificate(given=given(), now=NOW) == lot
    with pytest.raises(CertificateDiffers):
        record_certificate(given=given(kind="go"), now=NOW)
    for changes, field in (
        ({"kind": "x"}, "kind"),
        ({"kwh": Decimal(0)}, "kwh"),
        ({"produced_until": NOON}, "produced_until"),
    ):
        with pytest.raises(InvalidInput) as caught:
            record_certificate(given=given(serial="S-2", **changes), now=NOW)
        assert caught.value.field == field


def test_it_is_retired_once_and_a_part_leaves_the_rest(lot: int) -> None:
    part = retire(lot, "30", "S-1/1")
    assert retire(lot, "30", "S-1/1") == part, "the same again"
    assert Certificate.objects.aggregate(all=Sum("kwh"))["all"] == 100
    with pytest.raises(CertificateRetired):
        retire(lot, "30", "S-1/1", retired_for="HUB-2")
    with pytest.raises(CertificateRetired):
        transfer_certificate(certificate_id=part, to="OWN-2", kwh=Decimal(30), part_serial="S-1/1", now=NOW)
    with pytest.raises(InvalidInput):
        retire(lot, "71", "S-1/2")
    moved = transfer_certificate(certificate_id=lot, to="OWN-2", kwh=Decimal(70), part_serial="S-1", now=NOW)
    assert moved == lot and Certificate.objects.get(pk=lot).holder == "OWN-2"
    lots = retired_lots(retired_for=["HUB-1"], starts_at=NOON, ends_at=ONE)
    assert [(found.lot_id, found.kwh, found.supports_renewable_claim) for found in lots] == [(part, 30.0, True)]


def test_the_year_of_production_is_the_year_of_consumption(lot: int) -> None:
    later = {
        "consumption_from": datetime(2027, 1, 1, tzinfo=UTC),
        "consumption_until": datetime(2027, 2, 1, tzinfo=UTC),
    }
    with pytest.raises(InvalidInput) as caught:
        retire(lot, **later)
    assert caught.value.field == "consumption_from"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE grid_certificate SET retired_at = NULL, retired_for = '', consumption_from = NULL",
        "UPDATE grid_certificate SET retired_for = 'HUB-2'",
        "UPDATE grid_certificate SET kwh = kwh * 2",
        "DELETE FROM grid_certificate",
    ],
)
def test_the_database_refuses_a_second_life(lot: int, statement: str) -> None:
    retire(lot)
    with pytest.raises(IntegrityError, match=r"is retired|never deleted"), transaction.atomic():
        connection.cursor().execute(statement)


def test_a_project_credits_what_was_monitored_once_it_is_approved() -> None:
    for code, approved in (("JC-1", True), ("JC-2", False)):
        register_credit_project(
            code=code,
            site_identity="HUB-1",
            methodology="EN-S-000",
            starts_on=date(2026, 1, 1),
            ends_on=date(2026, 12, 31),
            approved=approved,
        )
        monitored = {
            "starts_at": NOON,
            "ends_at": ONE,
            "evidence": "settlement E-17 r1",
            "now": NOW,
            "kg_per_kwh": 0.45,
        }
        for _ in range(2):
            record_monitoring(project_code=code, baseline_kwh=Decimal(1000), project_kwh=Decimal(600), **monitored)
        with pytest.raises(MonitoredDifferently):
            record_monitoring(project_code=code, baseline_kwh=Decimal(1001), project_kwh=Decimal(600), **monitored)
    report = credit_report("JC-1")
    assert (report.baseline_kg, report.project_kg) == pytest.approx((450.0, 270.0))
    assert report.credit_kg == report.reduction_kg == pytest.approx(180.0) and report.rows[0][5] == "settlement E-17 r1"
    assert credit_report("JC-2").credit_kg == 0.0, "without an approved methodology it is no credit"
    with pytest.raises(NothingMonitored):
        credit_report("JC-3")


def test_a_site_under_a_cap_and_its_productivity() -> None:
    for year, output, energy_kwh in ((2024, 100.0, 50.0), (2025, None, None), (2026, 180.0, 60.0)):
        SiteYear.objects.create(
            site_identity="HUB-1", year=year, verified_kg=1000.0, allowances_kg=900.0, output=output,
            energy_kwh=energy_kwh, output_unit="t", source="a test",
        )  # fmt: skip
    base, empty, now = site_years("HUB-1")
    assert base.against_base_year == 1.0 and now.against_base_year == pytest.approx(1.5) and now.position_kg == 100.0
    assert empty.productivity is None and empty.against_base_year is None


def test_a_registrys_file_is_taken_over_all_or_none_and_a_report_is_written(lot: int, tmp_path: Path) -> None:
    file = tmp_path / "lots.csv"
    header = "serial,kind,produced_from,produced_until,kwh\n"
    row = "G-{},go,2026-11-24T03:00:00Z,2026-11-24T04:00:00Z,{}\n"
    file.write_text(header + row.format(1, 5) + row.format(2, "x"))
    with pytest.raises(CommandError, match="line 3"):
        call_command("import_certificates", str(file), "--registry", "EECS", "--region", "JP-9")
    assert Certificate.objects.filter(registry="EECS").count() == 0
    file.write_text(header + row.format(1, 5) + row.format(2, 7))
    for _ in range(2):
        call_command("import_certificates", str(file), "--registry", "EECS", "--region", "JP-9", stdout=StringIO())
    assert Certificate.objects.filter(registry="EECS").count() == 2
    register_credit_project(
        code="JC-1", site_identity="HUB-1", methodology="m", starts_on=date(2026, 1, 1), ends_on=date(2026, 12, 31)
    )
    record_monitoring(
        project_code="JC-1", starts_at=NOON, ends_at=ONE, baseline_kwh=Decimal(10), project_kwh=Decimal(4),
        kg_per_kwh=0.5, evidence="meter", now=NOW,
    )  # fmt: skip
    out, report = StringIO(), tmp_path / "report.csv"
    call_command("credit_report", "--project", "JC-1", "--csv", str(report), "--json", stdout=out)
    assert json.loads(out.getvalue())["reduction_kg"] == 3.0 and "meter" in report.read_text()
