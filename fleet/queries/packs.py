"""Packs: what they hold together, what they can hold by their readings, and what became of those that were offered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import F, Sum

from fleet.core.health import CapacityEstimate, estimate_capacity
from fleet.models import CapacityTest, CapacityTestState, Inverter, Pack, PackIntake

# One reading of a minute is enough for sweeps of hours, and a day of a pack read every second is 86,400.
_SERIES = """
SELECT DISTINCT ON (date_bin('60 seconds', measured_at, 'epoch'), soc_fraction IS NULL)
       extract(epoch FROM measured_at)::float8, power_kw, soc_fraction
FROM fleet_reading
WHERE asset_id = %(asset_id)s AND measured_at >= %(starts_at)s AND measured_at < %(ends_at)s AND flags = 0
ORDER BY date_bin('60 seconds', measured_at, 'epoch'), soc_fraction IS NULL, measured_at
"""


@dataclass(frozen=True, slots=True)
class IntakeLine:
    """A pack that was offered. `reasons` has finding, verdict, measured and mark of each."""

    intake_id: int
    identity: str
    origin: str
    inspected_at: datetime
    inspected_by: str
    verdict: str
    reasons: Sequence[Mapping[str, Any]]
    rule_from: date
    taken: bool


@dataclass(frozen=True, slots=True)
class TestLine:
    """A capacity test and its result, as far as there is one."""

    __test__ = False

    pack_identity: str
    starts_at: datetime
    ends_at: datetime
    state: str
    capacity_kwh: float | None
    standard_error_kwh: float | None
    nameplate_kwh: float
    note: str


def capacity_of_pack(*, pack_id: int, starts_at: datetime, ends_at: datetime) -> CapacityEstimate | None:
    """A pack's capacity by its readings between two instants; None where they do not say. Flagged readings are not used."""
    pack = Pack.objects.get(pk=pack_id)
    with connection.cursor() as cursor:
        cursor.execute(_SERIES, {"asset_id": pack.asset_id, "starts_at": starts_at, "ends_at": ends_at})
        rows = cursor.fetchall()
    if not rows:
        return None
    table = np.array(sorted(rows), dtype=np.float64)  # None becomes NaN
    return estimate_capacity(
        measured_s=table[:, 0],
        power_kw=table[:, 1],
        soc_fraction=table[:, 2],
        charge_efficiency=pack.charge_efficiency,
        discharge_efficiency=pack.discharge_efficiency,
    )


def other_packs_energy_kwh(*, site_id: int, without_pack_id: int) -> float:
    """Energy above nothing in a site's packs that are sound, reachable and not being tested, but one."""
    tested = CapacityTest.objects.filter(state=CapacityTestState.RUNNING).values("pack_id")
    sound = Pack.objects.filter(asset__site_id=site_id, asset__connected=True, asset__fault="")
    energy = F("nameplate_kwh") * F("state_of_health_fraction") * F("soc_fraction")
    found = sound.exclude(pk=without_pack_id).exclude(pk__in=tested).aggregate(total=Sum(energy))["total"]
    return float(found or 0.0)


def pack_ids() -> list[int]:
    """Every pack."""
    return list(Pack.objects.order_by("pk").values_list("pk", flat=True))


def recent_intakes(limit: int = 50) -> list[IntakeLine]:
    """The packs that were offered last, the newest first."""
    return [
        IntakeLine(
            row.pk,
            row.identity,
            row.origin,
            row.inspected_at,
            row.inspected_by,
            row.verdict,
            row.reasons,
            row.rule.valid_from,
            row.pack_id is not None,
        )
        for row in PackIntake.objects.select_related("rule")[:limit]
    ]


def recent_capacity_tests(limit: int = 50) -> list[TestLine]:
    """The last capacity tests, the newest first."""
    return [
        TestLine(
            row.pack.asset.identity,
            row.starts_at,
            row.ends_at,
            row.state,
            row.capacity_kwh,
            row.standard_error_kwh,
            row.pack.nameplate_kwh,
            row.note,
        )
        for row in CapacityTest.objects.select_related("pack__asset")[:limit]
    ]


def pack_identities() -> list[str]:
    """Every pack by name."""
    return list(Pack.objects.values_list("asset__identity", flat=True))


def inverter_identities() -> list[str]:
    """Every inverter that a pack may stand behind."""
    return list(Inverter.objects.values_list("identity", flat=True))
