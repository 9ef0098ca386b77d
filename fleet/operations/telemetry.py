"""Readings from devices: checked, stored once each by COPY, and shown as the latest state."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from fleet.operations.latest_state import write_latest_states
from fleet.operations.reading_flags import KnownAsset, ReadingFlags, known_assets
from fleet.queries.state import MEASURED, AssetState

logger = logging.getLogger(__name__)

# Rows of packs, vehicles and assets follow the readings this lazily; the latest state itself is at once.
_ROW_LAG = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class MeterReading:
    """What an asset's meter said at one instant; None for what it did not say.

    `power_kw` and `setpoint_kw`, what the device itself says that it follows, are positive into the asset; the registers
    only grow; `soc_fraction` is 0 to 1. `clock_unsure`: the device's clock is known to be wrong.
    """

    asset_id: int
    measured_at: datetime
    power_kw: float | None = None
    import_kwh: float | None = None
    export_kwh: float | None = None
    soc_fraction: float | None = None
    temperature_c: float | None = None
    setpoint_kw: float | None = None
    clock_unsure: bool = False


@dataclass(frozen=True, slots=True)
class RefusedReading:
    """A reading that was not stored; `reason` names the field and the remedy."""

    reading: MeterReading
    reason: str


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """What became of a batch: stored + duplicates + refused = its length."""

    stored: int
    duplicates: int
    refused: tuple[RefusedReading, ...]


_COLUMNS = "asset_id, measured_at, power_kw, import_kwh, export_kwh, soc_fraction, temperature_c, setpoint_kw, flags, received_at"
_TYPES = ("int8", "timestamptz", "float8", "float8", "float8", "float8", "float8", "float8", "int2", "timestamptz")

_CREATE_INCOMING = """
CREATE TEMPORARY TABLE IF NOT EXISTS fleet_reading_incoming (
    asset_id bigint, measured_at timestamptz, power_kw float8, import_kwh float8, export_kwh float8,
    soc_fraction float8, temperature_c float8, setpoint_kw float8, flags smallint, received_at timestamptz
) ON COMMIT DELETE ROWS
"""
# in one order, so that two processes that store the same readings wait for each other instead of deadlocking
_STORE = f"""
INSERT INTO fleet_reading ({_COLUMNS})
SELECT {_COLUMNS} FROM fleet_reading_incoming ORDER BY asset_id, measured_at
ON CONFLICT (asset_id, measured_at) DO NOTHING
"""


def record_readings(*, readings: Sequence[MeterReading], now: datetime) -> RecordOutcome:
    """Store a batch of readings, each at most once, in one transaction.

    A second reading of the same asset and instant is a duplicate and changes nothing, so a batch may be sent again
    after any failure. A register that went back or jumped, a power beyond the asset's limits and a doubtful clock are stored with a flag. Refused,
    with the reason: an unknown asset, an instant without a time zone, further in the future than READING_MAX_FUTURE_S
    or older than READING_RETENTION_DAYS, a value that is no finite number, a state of charge outside 0 to 1, and a
    reading that says nothing. After commit the latest state of each asset is shown to `fleet.queries.state`; the rows
    of packs, vehicles and assets follow within 5 s.
    """
    refused: list[RefusedReading] = []
    sound: list[MeterReading] = []
    earliest, latest = _accepted_span(now)
    for reading in readings:
        reason = _unsound(reading, earliest, latest)
        if reason:
            refused.append(RefusedReading(reading, reason))
        else:
            sound.append(reading)
    if not sound:
        return RecordOutcome(0, 0, tuple(refused))
    sound.sort(key=lambda reading: reading.measured_at)
    with transaction.atomic():
        with connection.cursor() as cursor:
            known = known_assets(cursor, sound)
            accepted = [reading for reading in sound if reading.asset_id in known]
            refused += [
                RefusedReading(reading, f"asset_id: there is no asset {reading.asset_id}. Register the device first.")
                for reading in sound
                if reading.asset_id not in known
            ]
            stored = _store(cursor, accepted, known, now) if accepted else 0
            states = _newest_states(accepted)
            carried = [state for state in states if _is_due(state)]
            _update_rows(cursor, carried)
        transaction.on_commit(lambda: _show(states, carried))
    return RecordOutcome(stored, len(accepted) - stored, tuple(refused))


# When this process last carried an asset's state over to its rows: most batches need not even ask.
_carried_at: dict[int, datetime] = {}


def _is_due(state: AssetState) -> bool:
    carried_at = _carried_at.get(state.asset_id)
    return carried_at is None or abs(state.measured_at - carried_at) >= _ROW_LAG


def _show(states: Sequence[AssetState], carried: Sequence[AssetState]) -> None:
    write_latest_states(states)
    _carried_at.update((state.asset_id, state.measured_at) for state in carried)


def _accepted_span(now: datetime) -> tuple[datetime, datetime]:
    return (
        now - timedelta(days=settings.READING_RETENTION_DAYS),
        now + timedelta(seconds=settings.READING_MAX_FUTURE_S),
    )


def _unsound(reading: MeterReading, earliest: datetime, latest: datetime) -> str:
    """Why a reading cannot be stored, as far as it shows by itself; empty if it can."""
    at = reading.measured_at
    if at.tzinfo is None:
        return "measured_at: the instant has no time zone. Send it in UTC."
    if at > latest:
        return f"measured_at: {at.isoformat()} is in the future. Set the device's clock."
    if at < earliest:
        return f"measured_at: {at.isoformat()} is older than what is kept. Set the device's clock."
    said = False
    for field in ("power_kw", "import_kwh", "export_kwh", "soc_fraction", "temperature_c", "setpoint_kw"):
        value = getattr(reading, field)
        if value is None:
            continue
        said = True
        if not math.isfinite(value):
            return f"{field}: {value} is not a finite number. Leave it out if it is not known."
    if not said:
        return "power_kw: the reading carries no value. Send at least one."
    soc = reading.soc_fraction
    if soc is not None and not 0 <= soc <= 1:
        return f"soc_fraction: {soc} is not between 0 and 1. Send 0.8 for 80 %."
    return ""


def _store(
    cursor: CursorWrapper, readings: Sequence[MeterReading], known: dict[int, KnownAsset], received_at: datetime
) -> int:
    cursor.execute(_CREATE_INCOMING)
    # a caller's own transaction may hold an earlier batch
    cursor.execute("DELETE FROM fleet_reading_incoming")
    flags = ReadingFlags(known)
    with cursor.copy(f"COPY fleet_reading_incoming ({_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(_TYPES)
        for reading in readings:
            copy.write_row(
                (
                    reading.asset_id,
                    reading.measured_at,
                    reading.power_kw,
                    reading.import_kwh,
                    reading.export_kwh,
                    reading.soc_fraction,
                    reading.temperature_c,
                    reading.setpoint_kw,
                    flags.of(reading),
                    received_at,
                )
            )
    cursor.execute(_STORE)
    return cursor.rowcount


def _newest_states(readings: Iterable[MeterReading]) -> list[AssetState]:
    """The newest value of every field of each asset (readings sorted by time)."""
    newest: dict[int, dict[str, float | None]] = {}
    measured_at: dict[int, datetime] = {}
    for reading in readings:
        fields = newest.setdefault(reading.asset_id, dict.fromkeys(MEASURED))
        measured_at[reading.asset_id] = reading.measured_at
        for field in MEASURED:
            value = getattr(reading, field)
            if value is not None:
                fields[field] = value
    return [AssetState(asset_id, measured_at[asset_id], **fields) for asset_id, fields in newest.items()]


# Rows that another transaction holds are left for the next batch: nothing waits for a copy of what is known elsewhere.
_UPDATE_ROWS = (
    """
WITH due AS (
    SELECT pack.id, state.* FROM unnest(%(asset_ids)s::bigint[], %(at)s::timestamptz[], %(soc)s::float8[],
        %(temperature)s::float8[]) AS state (asset_id, at, soc, temperature)
    JOIN fleet_pack pack ON pack.asset_id = state.asset_id
    WHERE (state.soc IS NOT NULL OR state.temperature IS NOT NULL)
      AND (pack.soc_measured_at IS NULL OR pack.soc_measured_at <= state.at - %(lag)s::interval)
    FOR UPDATE OF pack SKIP LOCKED)
UPDATE fleet_pack pack SET soc_fraction = coalesce(due.soc, pack.soc_fraction), soc_measured_at = due.at,
    temperature_c = coalesce(due.temperature, pack.temperature_c)
FROM due WHERE pack.id = due.id""",
    """
WITH due AS (
    SELECT vehicle.id, state.* FROM unnest(%(asset_ids)s::bigint[], %(at)s::timestamptz[], %(soc)s::float8[])
        AS state (asset_id, at, soc)
    JOIN fleet_evse evse ON evse.asset_id = state.asset_id
    JOIN fleet_chargingsession session ON session.evse_id = evse.id AND session.ended_at IS NULL
        AND session.started_at <= state.at
    JOIN fleet_vehicle vehicle ON vehicle.id = session.vehicle_id
    WHERE state.soc IS NOT NULL
      AND (vehicle.soc_measured_at IS NULL OR vehicle.soc_measured_at <= state.at - %(lag)s::interval)
    FOR UPDATE OF vehicle SKIP LOCKED)
UPDATE fleet_vehicle vehicle SET soc_fraction = due.soc, soc_measured_at = due.at FROM due WHERE vehicle.id = due.id""",
    """
WITH due AS (
    SELECT asset.id, state.at FROM unnest(%(asset_ids)s::bigint[], %(at)s::timestamptz[]) AS state (asset_id, at)
    JOIN fleet_asset asset ON asset.id = state.asset_id
    WHERE asset.last_seen_at IS NULL OR asset.last_seen_at <= state.at - %(lag)s::interval
    FOR UPDATE OF asset SKIP LOCKED)
UPDATE fleet_asset asset SET last_seen_at = due.at FROM due WHERE asset.id = due.id""",
)


def _update_rows(cursor: CursorWrapper, states: Sequence[AssetState]) -> None:
    """Carry state of charge and presence over to the rows of packs, vehicles and assets whose last is 5 s old."""
    if not states:
        return
    values: dict[str, Any] = {
        "asset_ids": [state.asset_id for state in states],
        "at": [state.measured_at for state in states],
        "soc": [state.soc_fraction for state in states],
        "temperature": [state.temperature_c for state in states],
        "lag": _ROW_LAG,
    }
    for statement in _UPDATE_ROWS:
        cursor.execute(statement, values)
