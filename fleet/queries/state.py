"""What assets do now, and how much energy they moved between two instants."""

from __future__ import annotations

import hashlib
import logging
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import psycopg
import redis
from django.conf import settings
from django.db import connection
from numpy.typing import NDArray

from common.clock import Interval
from common.errors import InvalidInput
from fleet.core.metering import NO_LIMIT_KW, energy_of_many

logger = logging.getLogger(__name__)

# Redis holds, under this key and the asset's id, (measured_at, value) of every field of MEASURED as little-endian
# doubles, so that a writer can let the newest win field by field. NaN where nothing was measured.
STATE_KEY = "fleet:state:"
MEASURED = ("power_kw", "import_kwh", "export_kwh", "soc_fraction", "temperature_c")
STATE_FORMAT = struct.Struct("<" + "d" * (2 * len(MEASURED)))
# A field that the newest readings leave out is still shown if it is no older than this.
FIELD_MEMORY = timedelta(seconds=120)
STATE_MEMORY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class AssetState:
    """The newest that is known of an asset; None for what it has not said in the last 120 s of its readings.

    `power_kw` is positive into the asset.
    """

    asset_id: int
    measured_at: datetime
    power_kw: float | None = None
    import_kwh: float | None = None
    export_kwh: float | None = None
    soc_fraction: float | None = None
    temperature_c: float | None = None


@cache
def redis_client() -> redis.Redis:
    """The connection pool of this process to the latest states. Times out rather than holding up a gateway."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)


def latest_states(asset_ids: Iterable[int]) -> dict[int, AssetState]:
    """The newest state by asset; assets that said nothing within a day are missing.

    From Redis; what is missing there, or everything while Redis is away, from the readings in PostgreSQL.
    """
    wanted = list(asset_ids)
    if not wanted:
        return {}
    try:
        values: list[Any] = redis_client().mget([f"{STATE_KEY}{asset_id}" for asset_id in wanted])
    except redis.RedisError as error:
        logger.warning("latest states come from PostgreSQL: %s", error)
        values = [None] * len(wanted)
    states = {
        asset_id: unpack_state(asset_id, value)
        for asset_id, value in zip(wanted, values, strict=True)
        if value is not None
    }
    missing = [asset_id for asset_id in wanted if asset_id not in states]
    if missing:
        states |= _states_from_readings(missing)
    return states


def unpack_state(asset_id: int, value: bytes) -> AssetState:
    """The state in a value that `STATE_FORMAT` packed."""
    numbers = STATE_FORMAT.unpack(value)
    at = max(time_s for time_s in numbers[::2] if not math.isnan(time_s))
    oldest = at - FIELD_MEMORY.total_seconds()
    fields = (
        measured if not math.isnan(measured) and time_s >= oldest else None
        for time_s, measured in zip(numbers[::2], numbers[1::2], strict=True)
    )
    return AssetState(asset_id, datetime.fromtimestamp(at, UTC), *fields)


_NEWEST_READINGS = """
SELECT asset_id, measured_at, power_kw, import_kwh, export_kwh, soc_fraction, temperature_c
FROM unnest(%(asset_ids)s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT * FROM fleet_reading
    WHERE asset_id = wanted.id AND measured_at > statement_timestamp() - %(memory)s::interval
    ORDER BY measured_at DESC LIMIT 1
) newest
"""


def _states_from_readings(asset_ids: Sequence[int]) -> dict[int, AssetState]:
    with connection.cursor() as cursor:
        values: dict[str, Any] = {"asset_ids": list(asset_ids), "memory": STATE_MEMORY}
        cursor.execute(_NEWEST_READINGS, values)
        return {row[0]: AssetState(*row) for row in cursor.fetchall()}


@dataclass(frozen=True, eq=False)
class MeteredEnergy:
    """Energy into each asset per slot, from stored readings.

    `net_kwh` is 0 where `complete` is False: what is not proven is left out by the mask, never guessed.
    `evidence_sha256` is the fingerprint of the readings used: the same readings give the same energy.
    """

    asset_ids: tuple[int, ...]
    slot_starts: tuple[datetime, ...]
    net_kwh: NDArray[np.float64]  # [asset, slot]
    complete: NDArray[np.bool_]  # [asset, slot]
    evidence_sha256: str


# One row per asset with all its readings packed as big-endian doubles: a Python object for every reading would take
# longer than everything that is done with it.
_READINGS = """
SELECT asset_id, string_agg(
    float8send(extract(epoch FROM measured_at)::float8) || float8send(coalesce(import_kwh, 'NaN'))
    || float8send(coalesce(export_kwh, 'NaN')) || float8send(coalesce(power_kw, 'NaN')), ''::bytea ORDER BY measured_at
)
FROM fleet_reading
WHERE asset_id = ANY(%(asset_ids)s::bigint[]) AND measured_at >= %(first_at)s AND measured_at <= %(last_at)s AND flags = 0
GROUP BY asset_id ORDER BY asset_id
"""
_READING = np.dtype((">f8", (4,)))


# A meter of a site sees at most what its connection lets through and what stands behind it; three times that is no
# measurement but a spike, and below a megawatt nothing is said to be one.
_LARGEST_POWERS = """
SELECT asset.id, CASE WHEN asset.kind = 'meter' THEN greatest(1000, 3 * (site.import_limit_kw + site.export_limit_kw))
    ELSE greatest(evse.max_charge_kw, evse.max_discharge_kw, pack.max_charge_kw, pack.max_discharge_kw) END
FROM fleet_asset asset JOIN fleet_site site ON site.id = asset.site_id
LEFT JOIN fleet_evse evse ON evse.asset_id = asset.id
LEFT JOIN fleet_pack pack ON pack.asset_id = asset.id
WHERE asset.id = ANY(%(asset_ids)s::bigint[])
"""


def largest_powers_kw(asset_ids: Sequence[int]) -> dict[int, float]:
    """What each asset can draw or give at most, in kW; assets of which it is not known are missing."""
    with connection.cursor() as cursor:
        cursor.execute(_LARGEST_POWERS, {"asset_ids": list(asset_ids)})
        return {asset_id: float(power_kw) for asset_id, power_kw in cursor.fetchall() if power_kw is not None}


def metered_energy(*, asset_ids: Sequence[int], starts_at: datetime, ends_at: datetime, slot_s: int) -> MeteredEnergy:
    """Energy of assets in consecutive slots of `slot_s` seconds from `starts_at`; the last may be shorter.

    From the registers (import − export) interpolated at the slots' boundaries, else from the trapezoids of power. A
    slot is complete if no two neighbouring readings that it needs are further apart than a slot. Flagged readings are
    not used.

    Raises:
        InvalidInput: the interval is empty or the slot has no length.
    """
    if ends_at <= starts_at:
        raise InvalidInput("The interval is empty.", field="ends_at", remedy="It must be after starts_at.")
    if slot_s <= 0:
        raise InvalidInput("A slot needs a length.", field="slot_s", remedy="Give seconds, such as 900.")
    slots = Interval(starts_at, ends_at).slots(slot_s)
    boundary_s = np.array([slot.starts_at.timestamp() for slot in slots] + [ends_at.timestamp()])
    unique_ids, place_of = np.unique(np.asarray(asset_ids, dtype=np.int64), return_inverse=True)
    margin = timedelta(seconds=slot_s)
    found = _readings(asset_ids, starts_at - margin, ends_at + margin)
    readings = np.concatenate([np.zeros((0, 4)), *(meter for _, meter in found)])
    lengths = [len(meter) for _, meter in found]
    largest_kw = largest_powers_kw(unique_ids.tolist())
    net_kwh, complete = energy_of_many(
        asset=np.repeat(np.searchsorted(unique_ids, [asset_id for asset_id, _ in found]), lengths),
        measured_s=readings[:, 0],
        import_kwh=readings[:, 1],
        export_kwh=readings[:, 2],
        power_kw=readings[:, 3],
        assets=len(unique_ids),
        boundary_s=boundary_s,
        longest_gap_s=float(slot_s),
        largest_kw=np.array([largest_kw.get(int(asset_id), NO_LIMIT_KW) for asset_id in unique_ids]),
    )
    return MeteredEnergy(
        asset_ids=tuple(asset_ids),
        slot_starts=tuple(slot.starts_at for slot in slots),
        net_kwh=net_kwh[place_of],
        complete=complete[place_of],
        evidence_sha256=_fingerprint(found),
    )


_Meter = tuple[int, NDArray[np.float64]]  # asset, [reading, (time_s, import_kwh, export_kwh, power_kw)]


def _readings(asset_ids: Sequence[int], first_at: datetime, last_at: datetime) -> list[_Meter]:
    """Every asset that said anything, ascending, with its readings in order of time; NaN for NULL."""
    given: dict[str, Any] = {"asset_ids": list(asset_ids), "first_at": first_at, "last_at": last_at}
    connection.ensure_connection()
    # Django's own cursors send everything as text, which for packed numbers is twice as long
    with psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(_READINGS, given, binary=True)
        rows = cursor.fetchall()
    return [(asset_id, np.frombuffer(packed, dtype=_READING).astype(np.float64)) for asset_id, packed in rows]


def _fingerprint(found: Sequence[_Meter]) -> str:
    """SHA-256 over the readings, asset by asset."""
    evidence = hashlib.sha256()
    for asset_id, meter in found:
        evidence.update(asset_id.to_bytes(8, "little"))
        evidence.update(np.ascontiguousarray(meter.T).tobytes())
    return evidence.hexdigest()
