"""One TCP end-point: polls every unit behind it once a second, keeps their hearts beating, notices who is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from common.errors import PlatformError
from fleet.devices.modbus.discovery import find_pack, profile_folders
from fleet.devices.modbus.pack import BatteryCondition, MeterUnit, SteeredPack, meter_unit
from fleet.devices.modbus.wire import ModbusLink, Unreachable
from fleet.operations.pack_conditions import ReportedCondition
from fleet.operations.telemetry import MeterReading
from fleet.queries.hub import ModbusDevice, ModbusEndpoint

logger = logging.getLogger(__name__)

POLL_S = 1.0
BATTERY_EVERY = 5  # polls: state of charge and temperature change slowly
HEARTBEAT_EVERY = 3  # polls
GONE_AFTER = 3  # polls without an answer
CONDITION_EVERY_S = 15.0
# A unit that is gone costs the others a second each time it is asked, so it is asked less often.
ASK_AGAIN_S = 10.0
RECONNECT_S = 2.0
NAMED_AT_ONCE = 5


@dataclass
class PolledDevice:
    """What the end-point knows of one unit."""

    device: ModbusDevice
    phase: int
    unit: SteeredPack | MeterUnit | None = None
    misses: int = 0
    ask_again_at: float = 0.0
    complaint: str = ""
    told: tuple[object, ...] = ()
    told_at: float = 0.0

    @property
    def reachable(self) -> bool:
        return self.unit is not None and self.misses < GONE_AFTER


@dataclass
class EndpointReport:
    """What one round of polling found."""

    readings: list[MeterReading] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    conditions: list[ReportedCondition] = field(default_factory=list)
    connected: bool = True
    reconnected: bool = False


class Endpoint:
    """Polls the units of an end-point over one connection; set-points travel over a second one, so that they never
    wait behind a unit that does not answer. An end-point that grants only one connection shares it."""

    def __init__(self, endpoint: ModbusEndpoint, *, report: Callable[[Endpoint, EndpointReport], None]) -> None:
        self.endpoint = endpoint
        self._report = report
        self._polling = ModbusLink(endpoint.host, endpoint.port, framing=endpoint.framing)
        self._control = ModbusLink(endpoint.host, endpoint.port, framing=endpoint.framing)
        self._devices: dict[int, PolledDevice] = {}
        self._was_connected = False
        self._complained = False
        self.update(endpoint)

    def update(self, endpoint: ModbusEndpoint) -> None:
        """Take over what the database says now; units that are new are discovered with the next round."""
        self.endpoint = endpoint
        kept = {
            device.asset_id: polled
            for device in endpoint.devices
            if (polled := self._devices.get(device.asset_id)) and polled.device == device
        }
        for index, device in enumerate(endpoint.devices):
            kept.setdefault(device.asset_id, PolledDevice(device, phase=index))
        self._devices = kept

    @property
    def asset_ids(self) -> list[int]:
        return list(self._devices)

    def pack(self, asset_id: int) -> SteeredPack | None:
        """A pack that answers."""
        polled = self._devices.get(asset_id)
        if polled is None or not polled.reachable or isinstance(polled.unit, MeterUnit):
            return None
        return polled.unit

    async def control_link(self) -> ModbusLink:
        """The connection for set-points. Raises Unreachable."""
        try:
            await self._control.connect()
        except Unreachable:
            if not self._polling.connected:
                raise
            return self._polling
        return self._control

    async def run(self) -> None:
        """Poll until cancelled."""
        loop = asyncio.get_running_loop()
        next_at, round_number = loop.time(), 0
        try:
            while True:
                try:
                    report = await self._poll(round_number)
                except Exception:
                    # one end-point that surprises us must not end the polling of it, nor of the others
                    logger.exception("a round of %s:%d broke off", self.endpoint.host, self.endpoint.port)
                    report = EndpointReport(connected=False)
                self._report(self, report)
                round_number += 1
                # a round that took too long is not made up for
                next_at = max(next_at + (POLL_S if report.connected else RECONNECT_S), loop.time())
                await asyncio.sleep(next_at - loop.time())
        finally:
            self._polling.close()
            self._control.close()

    async def _poll(self, round_number: int) -> EndpointReport:
        report = EndpointReport()
        try:
            report.reconnected = not self._polling.connected and self._was_connected
            await self._polling.connect()
            self._was_connected = True
            for polled in list(self._devices.values()):
                await self._ask(polled, round_number, report)
            self._complained = False
            if report.found:
                names = [device.identity for device in self.endpoint.devices if device.asset_id in report.found]
                logger.info("%s answer", " ".join(names) if len(names) <= NAMED_AT_ONCE else f"{len(names)} devices")
        except Unreachable as fault:
            report.connected = False
            if not self._complained:
                self._complained = True
                logger.warning("%d devices cannot be read: %s", len(self._devices), fault)
            for polled in self._devices.values():
                self._miss(polled, report, "")
        return report

    async def _ask(self, polled: PolledDevice, round_number: int, report: EndpointReport) -> None:
        now_s = asyncio.get_running_loop().time()
        if polled.ask_again_at > now_s:
            return
        try:
            was_reachable = polled.reachable
            if polled.unit is None or not was_reachable:
                polled.unit = await self._discover(polled.device)
            turn = round_number + polled.phase
            with_battery = not was_reachable or turn % BATTERY_EVERY == 0
            report.readings.append(await polled.unit.read_meter(self._polling, with_battery=with_battery))
            if not isinstance(polled.unit, MeterUnit) and (not was_reachable or turn % HEARTBEAT_EVERY == 0):
                await polled.unit.beat_heart(self._polling)
            if with_battery and not isinstance(polled.unit, MeterUnit):
                self._report_condition(polled, polled.unit.condition, report, now_s)
        except Unreachable:
            raise
        except PlatformError as fault:
            self._miss(polled, report, str(fault))
            return
        if polled.complaint or not was_reachable:
            report.found.append(polled.device.asset_id)
        polled.misses, polled.complaint = 0, ""

    def _report_condition(
        self, polled: PolledDevice, condition: BatteryCondition, report: EndpointReport, now_s: float
    ) -> None:
        """Pass on what a pack says of its cells when it says something else, and now and then when it does not."""
        temperature_c, spread_v = condition.temperature_c, condition.cell_spread_v
        told = (
            None if temperature_c is None else round(temperature_c),
            None if spread_v is None else round(spread_v, 2),
            condition.alarms,
        )
        if told != polled.told or now_s - polled.told_at > CONDITION_EVERY_S:
            polled.told, polled.told_at = told, now_s
            asset_id = polled.device.asset_id
            report.conditions.append(ReportedCondition(asset_id, temperature_c, spread_v, condition.alarms))

    async def _discover(self, device: ModbusDevice) -> SteeredPack | MeterUnit:
        place: dict[str, int] = {"asset_id": device.asset_id, "device_id": device.device_id}
        if not device.is_pack:
            return await meter_unit(self._polling, **place)
        return await find_pack(
            self._polling, **place, register_profile=device.register_profile, folders=profile_folders()
        )

    def _miss(self, polled: PolledDevice, report: EndpointReport, complaint: str) -> None:
        """Count a round without an answer; complain once, and give the unit up after three."""
        polled.misses += 1
        if complaint and complaint != polled.complaint:
            polled.complaint = complaint
            logger.warning("%s: %s", polled.device.identity, complaint)
        if polled.misses < GONE_AFTER and polled.unit is not None:
            return
        if polled.misses == GONE_AFTER or polled.unit is None:
            report.lost.append(polled.device.asset_id)
        polled.unit = None
        if report.connected:
            with suppress(RuntimeError):
                polled.ask_again_at = asyncio.get_running_loop().time() + ASK_AGAIN_S
