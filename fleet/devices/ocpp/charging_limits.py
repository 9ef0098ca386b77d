"""NotifyChargingLimit and ClearedChargingLimit of 2.x: what others allow, in kW, for planning to keep to."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from common.units import amperes_to_kw, watts_to_kw
from fleet.devices.ocpp import handlers
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.writer import Work
from fleet.operations.charging_limits import LimitStep, clear_charging_limit, record_charging_limit

Payload = dict[str, Any]

NOMINAL_VOLTAGE_V = 230.0


async def on_notify_charging_limit(station: Station, payload: Payload) -> Payload:
    """Somebody else limits an EVSE or, with no EVSE or 0, the whole station.."""
    limit, schedules = payload["chargingLimit"], payload.get("chargingSchedule", ())
    now = station.clock()
    schedule = schedules[0] if schedules else {}
    starts_at = handlers.instant(station, schedule.get("startSchedule"), "chargingSchedule.startSchedule")
    duration_s = schedule.get("duration")
    await station.books.write(
        Work(
            operation=partial(
                record_charging_limit,
                identity=station.identity,
                evse_number=payload.get("evseId", 0),
                source=limit["chargingLimitSource"],
                grid_critical=bool(limit.get("isGridCritical")),
                starts_at=starts_at,
                ends_at=None if duration_s is None else starts_at + timedelta(seconds=duration_s),
                steps=read_steps(schedule, phases=station.charger.phases),
                now=now,
            )
        )
    )
    return {}


async def on_cleared_charging_limit(station: Station, payload: Payload) -> Payload:
    """Somebody else limits it no longer."""
    await station.books.write(
        Work(
            operation=partial(
                clear_charging_limit,
                identity=station.identity,
                evse_number=payload.get("evseId", 0),
                source=payload["chargingLimitSource"],
            )
        )
    )
    return {}


def read_steps(schedule: Payload, *, phases: int) -> list[LimitStep]:
    """The periods of a schedule in kW. Amperes are those of each phase in use, at 230 V."""

    def power_kw(period: Payload, name: str) -> float | None:
        given = [period[key] for key in (name, f"{name}_L2", f"{name}_L3") if key in period]
        if not given:
            return None
        if schedule["chargingRateUnit"] == "W":
            return abs(watts_to_kw(sum(given)))
        if len(given) > 1:
            return abs(amperes_to_kw(sum(given), voltage_v=NOMINAL_VOLTAGE_V, phases=1))
        used = min(period.get("numberPhases") or phases, phases)
        return abs(amperes_to_kw(given[0], voltage_v=NOMINAL_VOLTAGE_V, phases=used))

    return [
        LimitStep(period["startPeriod"], power_kw(period, "limit"), power_kw(period, "dischargeLimit"))
        for period in schedule.get("chargingSchedulePeriod", ())
    ]
