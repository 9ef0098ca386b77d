"""What a station is asked and told after it has booted: what profiles it takes, how often it reports, its safe power.

A station that knows none of this goes on with common defaults; nothing here may keep it from charging.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fleet.devices.ocpp.connection import CallRefused, NoAnswer
from fleet.devices.ocpp.profiles import AMPERES, DEFAULT_MAX_PERIODS, WATTS, ProfileTerms, fallback_profile
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.wire import V16
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
SMART_CHARGING_COMPONENT = "SmartChargingCtrlr"
_MEASURANDS = (
    "Energy.Active.Import.Register",
    "Energy.Active.Export.Register",
    "Power.Active.Import",
    "Power.Active.Export",
    "SoC",
)


async def configure_station(station: Station) -> None:
    """Probe a station, set its meter interval where the gateway is told to, and install the fall-back profiles."""
    found = await _probe(station)
    if station.terms.meter_interval_s is not None:
        await _set_meter_interval(station, station.terms.meter_interval_s)
    found["fallback_kw"] = {
        str(evse.number): evse.fail_safe_kw for evse in station.evses.values() if await _install_fallback(station, evse)
    }
    remember(station, found)


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
    station: Station, evse: EvseIdentity, *, transaction_id: str = "", bidirectional: bool = False, unit: str = ""
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
        bidirectional=bidirectional,
        rate_unit=unit or rate_unit(station),
        max_periods=max(2, int(station.capabilities.get("max_periods") or DEFAULT_MAX_PERIODS)),
        dynamic=station.capabilities.get("dynamic", True),
    )


def rate_unit(station: Station) -> str:
    """The unit of this station's profiles: what it accepted before, else watts unless it says that it knows only amperes."""
    known = station.capabilities.get("rate_unit")
    if known in (WATTS, AMPERES):
        return known
    units = str(station.capabilities.get("rate_units", "")).lower()
    only_amperes = ("current" in units and "power" not in units) or units.strip() == "a"
    return AMPERES if only_amperes else WATTS


async def _probe(station: Station) -> dict[str, Any]:
    try:
        if station.version == V16:
            answer = await station.calls.call("GetConfiguration", {"key": list(_KEYS_V16.values())})
            told = {item["key"]: item.get("value", "") for item in answer.get("configurationKey", ())}
            names = _KEYS_V16
        else:
            request = [
                {"component": {"name": SMART_CHARGING_COMPONENT}, "variable": {"name": name}}
                for name in _VARIABLES.values()
            ]
            answer = await station.calls.call("GetVariables", {"getVariableData": request})
            told = {
                item["variable"]["name"]: item.get("attributeValue", "") for item in answer.get("getVariableResult", ())
            }
            names = _VARIABLES
    except (CallRefused, NoAnswer) as error:
        station.say_once("probe", "does not say what it can do: %s", error)
        return {}
    return {capability: read_capability(told[name]) for capability, name in names.items() if told.get(name)}


def read_capability(text: str) -> int | str:
    """A configuration value: a number where it is one."""
    return int(text) if text.strip().isdecimal() else text.strip()


async def _set_meter_interval(station: Station, interval_s: int) -> None:
    measurands = ",".join(_MEASURANDS)
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
    try:
        answer = await station.calls.call("SetChargingProfile", fallback_profile(profile_terms(station, evse)))
    except (CallRefused, NoAnswer) as error:
        station.say_once("fallback", "takes no fall-back profile: %s", error)
        return False
    if answer["status"] != "Accepted":
        station.say_once("fallback", "refuses the fall-back profile: %s", answer["status"])
    return answer["status"] == "Accepted"
