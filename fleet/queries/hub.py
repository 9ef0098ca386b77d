"""What is read and set over Modbus, by TCP end-point."""

from __future__ import annotations

from dataclasses import dataclass

from fleet.models import Inverter, Meter, Pack


@dataclass(frozen=True, slots=True, order=True)
class ModbusDevice:
    """A pack or a meter behind an end-point."""

    device_id: int
    asset_id: int
    identity: str
    is_pack: bool


@dataclass(frozen=True, slots=True)
class ModbusEndpoint:
    """A host and port, the inverters that are reached by it, and the units behind it."""

    host: str
    port: int
    inverter_ids: tuple[int, ...]
    devices: tuple[ModbusDevice, ...]


def modbus_endpoints() -> list[ModbusEndpoint]:
    """All end-points, in the order of host and port."""
    inverters: dict[tuple[str, int], list[int]] = {}
    devices: dict[tuple[str, int], list[ModbusDevice]] = {}
    for inverter in Inverter.objects.all():
        inverters.setdefault((inverter.host, inverter.port), []).append(inverter.pk)
    for pack in Pack.objects.select_related("asset", "inverter"):
        address = (pack.inverter.host, pack.inverter.port)
        device = ModbusDevice(pack.device_id, pack.asset_id, pack.asset.identity, is_pack=True)
        devices.setdefault(address, []).append(device)
    for meter in Meter.objects.select_related("asset"):
        device = ModbusDevice(meter.device_id, meter.asset_id, meter.asset.identity, is_pack=False)
        devices.setdefault((meter.host, meter.port), []).append(device)
    return [
        ModbusEndpoint(host, port, tuple(inverters.get((host, port), ())), tuple(sorted(devices.get((host, port), ()))))
        for host, port in sorted(inverters.keys() | devices.keys())
    ]
