"""Which driver serves which protocol, and what it can do."""

from __future__ import annotations

from dataclasses import dataclass

from fleet.models import ChargerProtocol


@dataclass(frozen=True, slots=True)
class DriverEntry:
    """One driver.

    Attributes:
        protocol: what it speaks, by the name that chargers are registered with; "sunspec" for packs and meters.
        gateway_class: the kind of gateway process that runs it; also the payload of `device_commands`.
        discharges: whether the protocol itself can ask for discharging.
        reports_soc: whether the protocol itself can carry a state of charge.
    """

    protocol: str
    gateway_class: str
    discharges: bool
    reports_soc: bool


DRIVERS = {
    entry.protocol: entry
    for entry in (
        DriverEntry(ChargerProtocol.OCPP_16, "ocpp", discharges=False, reports_soc=True),
        DriverEntry(ChargerProtocol.OCPP_201, "ocpp", discharges=False, reports_soc=True),
        DriverEntry(ChargerProtocol.OCPP_21, "ocpp", discharges=True, reports_soc=True),
        DriverEntry(ChargerProtocol.MQTT, "mqtt", discharges=True, reports_soc=True),
        DriverEntry("sunspec", "modbus", discharges=True, reports_soc=True),
    )
}


def protocols_of(gateway_class: str) -> frozenset[str]:
    """The protocols that one kind of gateway serves."""
    return frozenset(entry.protocol for entry in DRIVERS.values() if entry.gateway_class == gateway_class)
