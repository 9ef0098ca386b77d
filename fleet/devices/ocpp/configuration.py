"""What a station is asked and told after it has booted: what profiles it takes, how often it reports, its safe power.

A station that knows none of this goes on with common defaults; nothing here may keep it from charging.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from fleet.core.local_control import LocalControl
from fleet.devices.ocpp.connection import CallRefused, NoAnswer
from fleet.devices.ocpp.profiles import (
    AMPERES,
    COMMAND_STACK_LEVEL,
    DEFAULT_MAX_PERIODS,
    WATTS,
    ProfileTerms,
    fallback_profile,
    priority_profile,
)
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.wire import V16, V21
from fleet.devices.ocpp.writer import Work
from fleet.operations.stations import EvseIdentity, record_capabilities

# capability -> configuration key of 1.6
_KEYS_V16 = {
    "rate_units": "ChargingScheduleAllowedChargingRateUnit",
    "max_periods": "ChargingScheduleMaxPeriods",
    "max_stack_level": "ChargeProfileMaxStackLevel",
}
# capability -> variable of component SmartChargingCtrlr in 2.x
_VARIABLES = {
    "rate_units": "RateUnit",
    "max_periods": "PeriodsPerSchedule",
    "max_stack_level": "ProfileStackLevel",
}
# what 2.1 adds, per component
_VARIABLES_V21 = {
    "SmartChargingCtrlr": {
        "dynamic": "SupportsDynamicProfiles",
        "offline_duration": "SupportsMaxOfflineDuration",
        "evse_sleep": "SupportsEvseSleep",
        "additional_purposes": "SupportedAdditionalPurposes",
        "first_profile_id": "MaxExternalConstraintsId",
    },
    "V2XChargingCtrlr": {
        "v2x_enabled": "Enabled",
        "operation_modes": "SupportedOperationModes",
        "energy_transfer_modes": "SupportedEnergyTransferModes",
    },
}
SMART_CHARGING_COMPONENT = "SmartChargingCtrlr"
PRIORITY_PURPOSE = "PriorityCharging"
# A station that has been alone for so long falls back to its fail-safe power, whatever it was told.
MAX_OFFLINE_S = 900
_MEASURANDS = (
    "Energy.Active.Import.Register",
    "Energy.Active.Export.Register",
    "Power.Active.Import",
    "Power.Active.Export",
    "SoC",
)
_MEASURANDS_V21 = (*_MEASURANDS, "Power.Active.Setpoint")


async def configure_station(station: Station) -> None:
    """Probe a station, set its meter interval where the gateway is told to, and install the fall-back profiles."""
    found = await _probe(station)
    if station.terms.meter_interval_s is not None:
        await _set_meter_interval(station, station.terms.meter_interval_s)
    found["fallback_kw"] = {
        str(evse.number): evse.fail_safe_kw for evse in station.evses.values() if await _install_fallback(station, evse)
    }
    remember(station, found)
    if PRIORITY_PURPOSE in capability_members(station, "additional_purposes"):
        for evse in station.evses.values():
            await _install(station, priority_profile(profile_terms(station, evse)), "priority")


def is_configured(station: Station) -> bool:
    """Whether the books say that every EVSE has its present fail-safe power installed."""
    installed = station.capabilities.get("fallback_kw", {})
    return all(installed.get(str(evse.number)) == evse.fail_safe_kw for evse in station.evses.values())


def remember(station: Station, capabilities: dict[str, Any]) -> None:
    """Keep what was learnt of a station, here and in the books."""
    station.capabilities.update(capabilities)
    station.books.post(
        Work(operation=partial(record_capabilities, identity=station.identity, capabilities=capabilities))
    )


def profile_terms(
    station: Station,
    evse: EvseIdentity,
    *,
    transaction_id: str = "",
    bidirectional: bool = False,
    unit: str = "",
    control: LocalControl | None = None,
) -> ProfileTerms:
    """What a profile for an EVSE of this station has to respect."""
    return ProfileTerms(
        version=station.version,
        evse_number=evse.number,
        transaction_id=transaction_id,
        phases=station.charger.phases,
        max_charge_kw=evse.max_charge_kw,
        max_discharge_kw=evse.max_discharge_kw,
        min_charge_kw=evse.min_charge_kw,
        fail_safe_kw=evse.fail_safe_kw,
        bidirectional=bidirectional and station.capabilities.get("v2x_enabled") is not False,
        rate_unit=unit or rate_unit(station),
        max_periods=max(2, int(station.capabilities.get("max_periods") or DEFAULT_MAX_PERIODS)),
        dynamic=station.capabilities.get("dynamic", True),
        pulls=station.capabilities.get("dynamic") is True,
        control=control or LocalControl(),
        modes=capability_members(station, "operation_modes"),
        sleeps=station.capabilities.get("evse_sleep") is True,
        max_offline_s=MAX_OFFLINE_S if station.capabilities.get("offline_duration") is True else None,
        max_stack_level=_stack_level(station),
        first_id=_number(station, "first_profile_id"),
    )


def capability_members(station: Station, capability: str) -> frozenset[str]:
    """The members of a list that the station gave; empty if it gave none."""
    told = str(station.capabilities.get(capability) or "")
    return frozenset(member.strip() for member in told.split(",") if member.strip())


def _number(station: Station, capability: str) -> int:
    told = station.capabilities.get(capability)
    return told if isinstance(told, int) and told > 0 else 0


def _stack_level(station: Station) -> int:
    told = station.capabilities.get("max_stack_level")
    return told if isinstance(told, int) and not isinstance(told, bool) else COMMAND_STACK_LEVEL


def rate_unit(station: Station) -> str:
    """The unit of this station's profiles: what it accepted before, else watts unless it says that it knows only amperes."""
    known = station.capabilities.get("rate_unit")
    if known in (WATTS, AMPERES):
        return known
    units = str(station.capabilities.get("rate_units", "")).lower()
    only_amperes = ("current" in units and "power" not in units) or units.strip() == "a"
    return AMPERES if only_amperes else WATTS


def _variables(version: str) -> dict[str, tuple[str, str]]:
    """Component and variable of every capability that a version's stations are asked for."""
    wanted = {capability: (SMART_CHARGING_COMPONENT, name) for capability, name in _VARIABLES.items()}
    if version == V21:
        for component, variables in _VARIABLES_V21.items():
            wanted |= {capability: (component, name) for capability, name in variables.items()}
    return wanted


async def _probe(station: Station) -> dict[str, Any]:
    told: dict[Any, str]
    names: Mapping[str, Any]
    try:
        if station.version == V16:
            answer = await station.calls.call("GetConfiguration", {"key": list(_KEYS_V16.values())})
            told = {item["key"]: item.get("value", "") for item in answer.get("configurationKey", ())}
            names = _KEYS_V16
        else:
            wanted = _variables(station.version)
            request = [
                {"component": {"name": component}, "variable": {"name": name}} for component, name in wanted.values()
            ]
            answer = await station.calls.call("GetVariables", {"getVariableData": request})
            told = {
                (item["component"]["name"], item["variable"]["name"]): item.get("attributeValue", "")
                for item in answer.get("getVariableResult", ())
            }
            names = wanted
    except (CallRefused, NoAnswer) as error:
        station.say_once("probe", "does not say what it can do: %s", error)
        return {}
    return {capability: read_capability(told[name]) for capability, name in names.items() if told.get(name)}


def read_capability(text: str) -> bool | int | str:
    """A configuration value: a number or a truth value where it is one."""
    text = text.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return int(text) if text.isdecimal() else text


async def _set_meter_interval(station: Station, interval_s: int) -> None:
    measurands = ",".join(_MEASURANDS_V21 if station.version == V21 else _MEASURANDS)
    try:
        if station.version == V16:
            await station.calls.call(
                "ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": str(interval_s)}
            )
            await station.calls.call("ChangeConfiguration", {"key": "MeterValuesSampledData", "value": measurands})
            return
        values = {"TxUpdatedInterval": str(interval_s), "TxUpdatedMeasurands": measurands}
        data = [
            {"attributeValue": value, "component": {"name": "SampledDataCtrlr"}, "variable": {"name": name}}
            for name, value in values.items()
        ]
        await station.calls.call("SetVariables", {"setVariableData": data})
    except (CallRefused, NoAnswer) as error:
        station.say_once("interval", "does not take a meter interval: %s", error)


async def _install_fallback(station: Station, evse: EvseIdentity) -> bool:
    return await _install(station, fallback_profile(profile_terms(station, evse)), "fall-back")


async def _install(station: Station, profile: dict[str, Any], name: str) -> bool:
    try:
        answer = await station.calls.call("SetChargingProfile", profile)
    except (CallRefused, NoAnswer) as error:
        station.say_once(name, "takes no %s profile: %s", name, error)
        if isinstance(error, CallRefused) and error.code in ("NotImplemented", "NotSupported"):
            remember(station, {"smart_charging": False})
        return False
    if answer["status"] == "Accepted" and station.capabilities.get("smart_charging") is False:
        remember(station, {"smart_charging": True})
    if answer["status"] != "Accepted":
        station.say_once(name, "refuses the %s profile: %s", name, answer["status"])
    return answer["status"] == "Accepted"
