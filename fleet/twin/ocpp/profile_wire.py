"""Charging profiles between the wire and the station: watts and amperes, and the forms of the three versions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from common.units import amperes_to_kw, kw_to_amperes, kw_to_watts, watts_to_kw
from fleet.twin.evse import VOLTAGE_V
from fleet.twin.profiles import STATION_MAX, Allowance, ChargingProfile, Period, ProfileRefused

PURPOSES_OF_16 = {"ChargePointMaxProfile": STATION_MAX}


def read_instant(text: str | None) -> datetime | None:
    """An instant of the wire, in UTC."""
    if text is None:
        return None
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def write_instant(instant: datetime) -> str:
    """An instant for the wire: UTC, milliseconds, Z."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_profile(
    wire: dict, *, evse_number: int, phases: int, received_at: datetime, transaction_id: str | None = None
) -> ChargingProfile:
    """A profile of any version's form.

    Args:
        wire: `ChargingProfileType` of 2.x or `csChargingProfiles` of 1.6.
        evse_number: 0 for the whole station.
        phases: of the EVSE, for limits in amperes.
        transaction_id: takes the place of the profile's own, for a profile that comes with a remote start.

    Raises:
        ProfileRefused: the schedule lacks what its mode of operation needs.
    """
    schedules = wire["chargingSchedule"]
    schedule = schedules if isinstance(schedules, dict) else schedules[0]
    purpose, own_transaction = wire["chargingProfilePurpose"], wire.get("transactionId")
    unit = schedule["chargingRateUnit"]
    return ChargingProfile(
        profile_id=wire["chargingProfileId"] if "chargingProfileId" in wire else wire["id"],
        evse_number=evse_number,
        stack_level=wire["stackLevel"],
        purpose=PURPOSES_OF_16.get(purpose, purpose),
        kind=wire["chargingProfileKind"],
        recurrency=wire.get("recurrencyKind", ""),
        periods=tuple(read_period(period, unit=unit, phases=phases) for period in schedule["chargingSchedulePeriod"]),
        received_at=received_at,
        valid_from=read_instant(wire.get("validFrom")),
        valid_to=read_instant(wire.get("validTo")),
        starts_at=read_instant(schedule.get("startSchedule")),
        duration_s=schedule.get("duration"),
        transaction_id=transaction_id or (None if own_transaction is None else str(own_transaction)),
        max_offline_s=wire.get("maxOfflineDuration"),
        invalid_after_offline=wire.get("invalidAfterOfflineDuration", False),
        update_interval_s=wire.get("dynUpdateInterval"),
        wire=wire,
    )


def read_period(wire: dict, *, unit: str, phases: int) -> Period:
    """A period of a schedule, or the update of a dynamic one.

    Raises:
        ProfileRefused: it lacks the limit or the set-point that its mode of operation needs.
    """
    mode = wire.get("operationMode", "ChargingOnly")
    used_phases = min(wire.get("numberPhases", 3) or phases, phases)

    def power_kw(name: str) -> float | None:
        given = [wire[key] for key in (name, f"{name}_L2", f"{name}_L3") if key in wire]
        if not given:
            return None
        if unit == "W":
            return watts_to_kw(sum(given))
        # one value in amperes is that of every phase
        return sum(amperes_to_kw(a, voltage_v=VOLTAGE_V, phases=used_phases if len(given) == 1 else 1) for a in given)

    limit_kw, setpoint_kw, discharge_limit_kw = power_kw("limit"), power_kw("setpoint"), power_kw("dischargeLimit")
    _check_fields(mode, wire, unit)
    return Period(
        offset_s=wire.get("startPeriod", 0),
        limit_kw=limit_kw,
        discharge_limit_kw=None if discharge_limit_kw is None else -discharge_limit_kw,
        setpoint_kw=setpoint_kw,
        operation_mode=mode,
        baseline_kw=watts_to_kw(wire.get("v2xBaseline", 0.0)),
        frequency_watt=tuple((p["frequency"], watts_to_kw(p["power"])) for p in wire.get("v2xFreqWattCurve", ())),
        signal_watt=tuple((float(p["signal"]), watts_to_kw(p["power"])) for p in wire.get("v2xSignalWattCurve", ())),
    )


# what a period of each mode must have, and what it may have besides: 2.1, "Limits and setpoints per operation mode"
_REQUIRED = {"ChargingOnly": {"limit"}, "CentralSetpoint": {"setpoint"}, "CentralFrequency": {"setpoint"}}
_OPTIONAL = {
    "CentralSetpoint": {"limit", "dischargeLimit", "setpointReactive"},
    "CentralFrequency": {"limit", "dischargeLimit"},
    "ExternalSetpoint": {"limit", "dischargeLimit"},
}


def _check_fields(mode: str, wire: dict, unit: str) -> None:
    given = {key for key in ("limit", "dischargeLimit", "setpoint", "setpointReactive") if key in wire}
    required = _REQUIRED.get(mode, set())
    if required - given:
        raise ProfileRefused("InvalidSchedule", f"a period of {mode} needs {', '.join(sorted(required - given))}")
    extra = given - required - _OPTIONAL.get(mode, set())
    if extra:
        raise ProfileRefused("InvalidSchedule", f"a period of {mode} has no {', '.join(sorted(extra))}")
    if mode == "LocalFrequency" and (
        unit != "W" or "v2xBaseline" not in wire or len(wire.get("v2xFreqWattCurve", ())) < 2
    ):
        raise ProfileRefused("InvalidSchedule", "LocalFrequency needs watts, a baseline and a curve of two points")


def write_schedule(
    steps: list[tuple[float, Allowance]], *, unit: str, phases: int, with_setpoints: bool
) -> list[dict[str, Any]]:
    """The periods of a composite schedule."""

    def rate(power_kw: float) -> float:
        if unit == "W":
            return round(kw_to_watts(power_kw), 1)
        return round(kw_to_amperes(power_kw, voltage_v=VOLTAGE_V, phases=phases), 1)

    periods: list[dict[str, Any]] = []
    for offset_s, allowed in steps:
        period: dict[str, Any] = {"startPeriod": round(offset_s), "limit": rate(max(allowed.charge_kw, 0.0))}
        if with_setpoints and allowed.by_setpoint:
            period |= {
                "operationMode": "CentralSetpoint",
                "setpoint": rate(allowed.wanted_kw),
                "dischargeLimit": -rate(allowed.discharge_kw),
            }
        if periods and periods[-1]["startPeriod"] == period["startPeriod"]:
            periods[-1] = period
        else:
            periods.append(period)
    return periods
