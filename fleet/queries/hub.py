"""What is read and set over Modbus, by TCP end-point."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fleet.models import Inverter, Meter, Pack


@dataclass(frozen=True, slots=True, order=True)
class ModbusDevice:
    """A pack or a meter behind an end-point."""

    device_id: int
    asset_id: int
    identity: str
    is_pack: bool
    register_profile: str = ""


@dataclass(frozen=True, slots=True)
class ModbusEndpoint:
    """A host and port, the inverters that are reached by it, and the units behind it. `framing` is "tcp" or
    "rtu_over_tcp"; all that stands behind one port shares it."""

    host: str
    port: int
    framing: str
    inverter_ids: tuple[int, ...]
    devices: tuple[ModbusDevice, ...]


def modbus_endpoints() -> list[ModbusEndpoint]:
    """All end-points, in the order of host and port."""
    inverters: dict[tuple[str, int], list[int]] = {}
    framing: dict[tuple[str, int], str] = {}
    devices: dict[tuple[str, int], list[ModbusDevice]] = {}
    for inverter in Inverter.objects.all():
        inverters.setdefault((inverter.host, inverter.port), []).append(inverter.pk)
        framing.setdefault((inverter.host, inverter.port), inverter.framing)
    for pack in Pack.objects.select_related("asset", "inverter"):
        address = (pack.inverter.host, pack.inverter.port)
        device = ModbusDevice(pack.device_id, pack.asset_id, pack.asset.identity, True, pack.inverter.register_profile)
        devices.setdefault(address, []).append(device)
    for meter in Meter.objects.select_related("asset"):
        device = ModbusDevice(meter.device_id, meter.asset_id, meter.asset.identity, is_pack=False)
        devices.setdefault((meter.host, meter.port), []).append(device)
        framing.setdefault((meter.host, meter.port), meter.framing)
    return [
        ModbusEndpoint(
            *address, framing[address], tuple(inverters.get(address, ())), tuple(sorted(devices.get(address, ())))
        )
        for address in sorted(inverters.keys() | devices.keys())
    ]


@dataclass(frozen=True, slots=True)
class PackFigures:
    """What the sharing of a hub's power needs of a pack beside its energy: powers in kW, after derating in `charge_kw`
    and `discharge_kw`, at their full in `full_…`, and the limits of its inverter."""

    inverter_id: int
    charge_kw: float
    discharge_kw: float
    full_charge_kw: float
    full_discharge_kw: float
    state_of_health_fraction: float
    inverter_charge_kw: float
    inverter_discharge_kw: float


def pack_figures(asset_ids: Collection[int]) -> dict[int, PackFigures]:
    """The figures of packs by asset."""
    return {
        pack.asset_id: PackFigures(
            pack.inverter_id,
            pack.max_charge_kw * pack.charge_fraction,
            pack.max_discharge_kw * pack.discharge_fraction,
            pack.max_charge_kw,
            pack.max_discharge_kw,
            pack.state_of_health_fraction,
            pack.inverter.max_charge_kw,
            pack.inverter.max_discharge_kw,
        )
        for pack in Pack.objects.filter(asset_id__in=asset_ids).select_related("inverter")
    }
