"""What is implausible about a reading: such a reading is kept with a flag, and not used for settlement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.backends.utils import CursorWrapper

from fleet.core.metering import CLOCK_UNSURE, POWER_BEYOND_LIMITS, power_is_beyond_limits, register_flag

if TYPE_CHECKING:
    from fleet.operations.telemetry import MeterReading

# Registers are compared with the last reading of this long ago at most; it keeps the look-up to a few partitions.
_REGISTER_MEMORY = timedelta(days=2)

_BEFORE = """
    SELECT import_kwh, export_kwh, extract(epoch FROM measured_at)::float8 AS at_s FROM fleet_reading
    WHERE asset_id = incoming.asset_id AND measured_at < incoming.first_at
      AND measured_at >= %(oldest_at)s AND measured_at < %(newest_at)s
      AND (import_kwh IS NOT NULL OR export_kwh IS NOT NULL)
"""
_KNOWN = f"""
SELECT asset.id, coalesce(evse.max_charge_kw, pack.max_charge_kw), coalesce(evse.max_discharge_kw, pack.max_discharge_kw),
       CASE WHEN asset.kind = 'meter' THEN greatest(1000, 3 * (site.import_limit_kw + site.export_limit_kw)) END,
       last.import_kwh, last.export_kwh, last.at_s, sound.import_kwh, sound.export_kwh, sound.at_s
FROM unnest(%(asset_ids)s::bigint[], %(first_at)s::timestamptz[]) AS incoming (asset_id, first_at)
JOIN fleet_asset asset ON asset.id = incoming.asset_id
JOIN fleet_site site ON site.id = asset.site_id
LEFT JOIN fleet_evse evse ON evse.asset_id = asset.id
LEFT JOIN fleet_pack pack ON pack.asset_id = asset.id
LEFT JOIN LATERAL ({_BEFORE} ORDER BY measured_at DESC LIMIT 1) last ON true
LEFT JOIN LATERAL ({_BEFORE} AND flags = 0 ORDER BY measured_at DESC LIMIT 1) sound ON true
"""


class KnownAsset(NamedTuple):
    """What a reading is checked against: the asset's limits, and its registers before the batch, the last ones and the
    last sound ones. `spike_kw` is set for meters, which have no limits of their own; see `fleet.queries.state`."""

    max_charge_kw: float | None
    max_discharge_kw: float | None
    spike_kw: float | None
    last_import_kwh: float | None
    last_export_kwh: float | None
    last_s: float | None
    sound_import_kwh: float | None
    sound_export_kwh: float | None
    sound_s: float | None


def known_assets(cursor: CursorWrapper, readings: Sequence[MeterReading]) -> dict[int, KnownAsset]:
    """Limits and last registers of the assets of a batch (sorted by time); unknown assets are missing."""
    first_at: dict[int, datetime] = {}
    for reading in readings:
        first_at.setdefault(reading.asset_id, reading.measured_at)
    span: dict[str, Any] = {
        "asset_ids": list(first_at),
        "first_at": list(first_at.values()),
        "oldest_at": readings[0].measured_at - _REGISTER_MEMORY,
        "newest_at": readings[-1].measured_at,
    }
    cursor.execute(_KNOWN, span)
    return {row[0]: KnownAsset(*row[1:]) for row in cursor.fetchall()}


class ReadingFlags:
    """Flags of the readings of a batch, given in the order of time; remembers the registers from one to the next."""

    def __init__(self, known: Mapping[int, KnownAsset]) -> None:
        self._known = known
        # asset and register -> the last value and the last sound one, each (kWh, s)
        self._before: dict[tuple[int, bool], list[tuple[float, float]]] = {}
        for asset_id, asset in known.items():
            for is_import, last, sound in (
                (True, asset.last_import_kwh, asset.sound_import_kwh),
                (False, asset.last_export_kwh, asset.sound_export_kwh),
            ):
                pairs = ((last, asset.last_s), (sound, asset.sound_s))
                self._before[asset_id, is_import] = [
                    (kwh, at) for kwh, at in pairs if kwh is not None and at is not None
                ]

    def of(self, reading: MeterReading) -> int:
        """The flags of the next reading."""
        asset = self._known[reading.asset_id]
        flags = CLOCK_UNSURE if reading.clock_unsure else 0
        charge, discharge = asset.max_charge_kw, asset.max_discharge_kw
        if asset.spike_kw is not None:
            charge = discharge = asset.spike_kw
        largest_kw = None if charge is None or discharge is None else max(charge, discharge)
        at_s = reading.measured_at.timestamp()
        if reading.import_kwh is not None:
            flags |= self._register(reading.asset_id, True, reading.import_kwh, at_s, largest_kw)
        if reading.export_kwh is not None:
            flags |= self._register(reading.asset_id, False, reading.export_kwh, at_s, largest_kw)
        power = reading.power_kw
        if (
            power is not None
            and charge is not None
            and discharge is not None
            and power_is_beyond_limits(power, max_charge_kw=charge, max_discharge_kw=discharge)
        ):
            flags |= POWER_BEYOND_LIMITS
        return flags

    def _register(self, asset_id: int, is_import: bool, kwh: float, at_s: float, largest_kw: float | None) -> int:
        before = self._before[asset_id, is_import]
        flag = register_flag(kwh, at_s, before=before, largest_kw=largest_kw)
        sound = before[-1:] if flag else [(kwh, at_s)]
        self._before[asset_id, is_import] = [(kwh, at_s), *sound]
        return flag
