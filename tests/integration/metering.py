"""Synthetic meters: readings as devices would send them, for tests of what is computed from them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from fleet.operations.telemetry import MeterReading, record_readings


def meter_readings(
    asset_id: int,
    *,
    starts_at: datetime,
    ends_at: datetime,
    every_s: float,
    power_kw: Callable[[datetime], float],
    import_kwh: float = 1000.0,
    export_kwh: float = 500.0,
) -> list[MeterReading]:
    """What a meter says every few seconds, both ends included, while the power is held between readings."""
    readings, at = [], starts_at
    while at <= ends_at:
        readings.append(MeterReading(asset_id, at, power_kw(at), import_kwh, export_kwh))
        energy_kwh = power_kw(at) * every_s / 3600.0
        import_kwh += max(energy_kwh, 0.0)
        export_kwh += max(-energy_kwh, 0.0)
        at += timedelta(seconds=every_s)
    return readings


def store_readings(readings: list[MeterReading], *, now: datetime) -> None:
    """Store them as a gateway would; every one must be taken."""
    outcome = record_readings(readings=readings, now=now)
    assert outcome.refused == () and outcome.stored == len(readings)
