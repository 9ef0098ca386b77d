"""Keeping what stations measure besides readings, and what meters have signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import connection, transaction

from fleet.models import SignedMeterValue


@dataclass(frozen=True, slots=True)
class FurtherValue:
    """A value of a measurand that readings have no field for, in OCPP's words and units."""

    asset_id: int
    measurand: str
    phase: str
    location: str
    value: float
    unit: str
    measured_at: datetime


@dataclass(frozen=True, slots=True)
class SignedValue:
    """A value that a meter has signed, as it came."""

    asset_id: int
    transaction_id: str
    measured_at: datetime
    context: str
    measurand: str
    signed_data: str
    signing_method: str = ""
    encoding_method: str = ""
    public_key: str = ""


_UPSERT = """
INSERT INTO fleet_latestmeasurand (asset_id, measurand, phase, location, value, unit, measured_at)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::float8[], %s::text[], %s::timestamptz[])
ON CONFLICT (asset_id, measurand, phase, location) DO UPDATE
SET value = excluded.value, unit = excluded.unit, measured_at = excluded.measured_at
WHERE fleet_latestmeasurand.measured_at < excluded.measured_at
"""


def record_further_values(*, values: Sequence[FurtherValue]) -> None:
    """Keep the newest of each measurand; an older one changes nothing."""
    newest: dict[tuple[int, str, str, str], FurtherValue] = {}
    for value in values:
        key = (value.asset_id, value.measurand, value.phase, value.location)
        if key not in newest or newest[key].measured_at < value.measured_at:
            newest[key] = value
    # always in one order, so that two gateways wait for each other instead of deadlocking
    rows = [newest[key] for key in sorted(newest)]
    with connection.cursor() as cursor:
        cursor.execute(
            _UPSERT,
            [
                [row.asset_id for row in rows],
                [row.measurand for row in rows],
                [row.phase for row in rows],
                [row.location for row in rows],
                [row.value for row in rows],
                [row.unit for row in rows],
                [row.measured_at for row in rows],
            ],
        )


@transaction.atomic
def record_signed_values(*, values: Sequence[SignedValue]) -> None:
    """Keep what meters have signed; what is kept already stays as it came first."""
    SignedMeterValue.objects.bulk_create([SignedMeterValue(**asdict(value)) for value in values], ignore_conflicts=True)
