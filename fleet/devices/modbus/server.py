"""The Modbus gateway: every end-point polled, every reading recorded, every schedule delivered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from fleet.core.timetable import PowerTimetable
from fleet.devices.database import DatabaseThreads, DatabaseUnavailable
from fleet.devices.gateway import CommandDelivery
from fleet.devices.listening import listen
from fleet.devices.modbus.control import PackControl
from fleet.devices.modbus.endpoint import Endpoint, EndpointReport
from fleet.devices.modbus.pack import SteeredPack
from fleet.devices.recording import ReadingRecorder, RecorderFull
from fleet.operations.changes import FLEET_CHANGED_CHANNEL
from fleet.operations.pack_conditions import record_pack_conditions
from fleet.operations.presence import mark_inverters, mark_reachable, mark_unreachable
from fleet.operations.telemetry import RefusedReading
from fleet.queries.commands import standing_schedules
from fleet.queries.hub import ModbusEndpoint, modbus_endpoints

logger = logging.getLogger(__name__)

REFRESH_S = 10.0
# Notifications come in bursts, many of them from this gateway itself.
CALM_S = 1.0
INVERTER_SEEN_EVERY_S = 30.0

Address = tuple[str, int]


class ModbusGateway:
    """One gateway process. `run` polls and delivers until it is told to stop."""

    def __init__(self, *, identity: str, ready: Callable[[], None] = lambda: None) -> None:
        self._identity = identity
        self._ready = ready
        self._database = DatabaseThreads("modbus", threads=2)
        self._recorder = ReadingRecorder(self._database)
        self._control = PackControl(find=self._find)
        self._endpoints: dict[Address, tuple[Endpoint, asyncio.Task[None]]] = {}
        self._by_asset: dict[int, Endpoint] = {}
        self._changed = asyncio.Event()
        self._presence: asyncio.Queue[tuple[Endpoint, EndpointReport]] = asyncio.Queue()
        self._inverters: dict[Address, tuple[bool, float]] = {}
        self._inverters_due: set[Address] = set()
        self._refusals: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Poll and deliver until `stop` is set; then store what was read and leave the packs to their timers."""
        await self._begin(stop)
        delivery = CommandDelivery(gateway_identity=self._identity, gateway_class="modbus", driver=self._control)
        lasting = [asyncio.create_task(self._recorder.run(stop)), asyncio.create_task(delivery.run(stop))]
        helpers = [
            asyncio.create_task(self._refresh_when_changed()),
            asyncio.create_task(self._note_presence()),
            asyncio.create_task(listen(FLEET_CHANGED_CHANNEL, lambda _payload: self._changed.set())),
        ]
        self._ready()
        stopping = asyncio.create_task(stop.wait())
        # whichever ends first: told to stop, or broken, which the supervisor must see
        await asyncio.wait((stopping, *lasting, *helpers), return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        self._control.stop()
        polls = [task for _, task in self._endpoints.values()]
        for task in (*helpers, *polls):
            task.cancel()
        results = await asyncio.gather(*lasting, *helpers, *polls, return_exceptions=True)
        self._database.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _begin(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._refresh()
                asset_ids = list(self._by_asset)
                standing = await self._database.call(standing_schedules, asset_ids=asset_ids)
            except DatabaseUnavailable:
                logger.warning("the database is away; waiting for it")
                await asyncio.sleep(CALM_S)
                continue
            now = datetime.now(UTC)
            self._control.resume(
                {
                    asset_id: PowerTimetable(told.starts_at, told.valid_until, told.offset_s, told.power_kw)
                    for asset_id, told in standing.items()
                    if told.state != "queued" and told.valid_until > now
                }
            )
            return

    def _find(self, asset_id: int) -> tuple[Endpoint, SteeredPack] | None:
        endpoint = self._by_asset.get(asset_id)
        unit = endpoint.pack(asset_id) if endpoint else None
        return (endpoint, unit) if endpoint and unit else None

    async def _refresh_when_changed(self) -> None:
        while True:
            # Python 3.11's wait_for forgets that it was cancelled if a change comes in the same moment
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self._refresh()
            except DatabaseUnavailable:
                logger.warning("the database is away: the list of devices stays as it is")
            await asyncio.sleep(CALM_S)

    async def _refresh(self) -> None:
        """Start, change and stop end-points as the database says."""
        wanted: list[ModbusEndpoint] = await self._database.call(modbus_endpoints)
        addresses = {(endpoint.host, endpoint.port) for endpoint in wanted}
        for address in self._endpoints.keys() - addresses:
            _, task = self._endpoints.pop(address)
            task.cancel()
        for known in wanted:
            address = (known.host, known.port)
            if address in self._endpoints:
                self._endpoints[address][0].update(known)
            else:
                endpoint = Endpoint(known, report=self._take)
                task = asyncio.create_task(endpoint.run())
                task.add_done_callback(_complain_of_failure)
                self._endpoints[address] = (endpoint, task)
        self._by_asset = {
            asset_id: endpoint for endpoint, _ in self._endpoints.values() for asset_id in endpoint.asset_ids
        }

    def _take(self, endpoint: Endpoint, report: EndpointReport) -> None:
        """What a round of polling found: readings to the recorder, presence to the database."""
        if report.readings:
            try:
                self._recorder.submit(report.readings).add_done_callback(self._complain_of_refusals)
            except RecorderFull as full:
                logger.error("a round of %d readings is dropped: %s", len(report.readings), full)
        address = (endpoint.endpoint.host, endpoint.endpoint.port)
        told, told_s = self._inverters.get(address, (None, 0.0))
        now_s = asyncio.get_running_loop().time()
        due = report.connected != told or (report.connected and now_s - told_s > INVERTER_SEEN_EVERY_S)
        if due:
            self._inverters[address] = (report.connected, now_s)
            self._inverters_due.add(address)
        if due or report.found or report.lost or report.reconnected or report.conditions:
            self._presence.put_nowait((endpoint, report))

    async def _note_presence(self) -> None:
        while True:
            endpoint, report = await self._presence.get()
            renewed = endpoint.asset_ids if report.reconnected else report.found
            await asyncio.gather(*(self._control.renew(asset_id) for asset_id in renewed))
            while True:
                try:
                    await self._write_presence(endpoint, report)
                    break
                except DatabaseUnavailable:
                    await asyncio.sleep(CALM_S)

    async def _write_presence(self, endpoint: Endpoint, report: EndpointReport) -> None:
        now = datetime.now(UTC)
        if report.lost:
            await self._database.call(mark_unreachable, asset_ids=report.lost)
        if report.found:
            await self._database.call(mark_reachable, asset_ids=report.found, now=now)
        if report.conditions:
            await self._database.call(record_pack_conditions, conditions=report.conditions, now=now)
        address = (endpoint.endpoint.host, endpoint.endpoint.port)
        if endpoint.endpoint.inverter_ids and address in self._inverters_due:
            await self._database.call(
                mark_inverters,
                inverter_ids=endpoint.endpoint.inverter_ids,
                connected=report.connected,
                gateway_identity=self._identity,
                now=now,
            )
            self._inverters_due.discard(address)

    def _complain_of_refusals(self, done: asyncio.Future[tuple[RefusedReading, ...]]) -> None:
        """Log each kind of refusal once per asset."""
        for refused in () if done.cancelled() else done.result():
            reason = f"asset {refused.reading.asset_id}: {refused.reason.partition(':')[0]}"
            if reason not in self._refusals:
                self._refusals.add(reason)
                logger.warning("a reading of asset %d is refused: %s", refused.reading.asset_id, refused.reason)


def _complain_of_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("polling of an end-point has ended", exc_info=error)
