"""What networks and devices do wrong, between the gateway and its packs: half-open connections, exceptions, noise."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import PlatformError
from fleet.devices.modbus import endpoint
from fleet.devices.modbus.discovery import find_pack
from fleet.devices.modbus.server import ModbusGateway
from fleet.devices.modbus.wire import Busy, Garbled, ModbusFault, ModbusLink, Refused, Silent
from fleet.models import Asset, CommandState, DeviceCommand, Inverter
from fleet.twin import pack as pack_physics
from tests.integration.fleet.hub import PACKS, Hub, tell
from tests.integration.fleet.loops import eventually, free_port


class Cable:
    """A TCP relay that can go dead without closing: what was connected stays so and hears nothing any longer."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._generation = 0
        self.opened = 0

    async def listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    def cut(self) -> None:
        """From now on everything that is open is dead; what is opened anew works."""
        self._generation += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        generation = self._generation
        there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        await asyncio.gather(
            self._pass_on(reader, back, generation), self._pass_on(there, writer, generation), return_exceptions=True
        )

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, generation: int) -> None:
        while data := await source.read(4096):
            if generation == self._generation:
                sink.write(data)
        sink.close()


@pytest.fixture
def hub(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Hub, Cable]]:
    monkeypatch.setattr(endpoint, "ASK_AGAIN_S", 1.0)
    monkeypatch.setattr(pack_physics, "HEARTBEAT_LOST_S", 5.0)
    hub = Hub()
    hub.stop_gateway()
    cable, port = Cable(hub.port), free_port()
    hub.loop.call(cable.listen(port))
    Inverter.objects.update(port=port)
    hub.start_gateway()
    eventually(lambda: Asset.objects.filter(connected=True).count() == PACKS + 1)
    yield hub, cable
    hub.loop.call(hub.plant.close())
    hub.close()


@pytest.mark.django_db(transaction=True)
def test_a_half_open_connection_is_noticed_the_packs_fall_back_and_are_told_again(hub: tuple[Hub, Cable]) -> None:
    stand, cable = hub
    pack = stand.packs[0]
    command = tell(pack.asset_id, -8.0, valid_s=600)
    eventually(lambda: stand.power_kw(pack) == -8.0)
    assert DeviceCommand.objects.get(pk=command).state == CommandState.CONFIRMED
    before = cable.opened
    cable.cut()
    eventually(lambda: stand.power_kw(pack) == 0.0, within_s=20, what="the pack went on though nobody steered it")
    eventually(lambda: cable.opened > before, within_s=30, what="the dead connection was kept")
    eventually(lambda: stand.power_kw(pack) == -8.0, within_s=30, what="the pack was not told again")
    eventually(lambda: Asset.objects.get(pk=pack.asset_id).connected, within_s=20)


def answering(
    answer: Callable[[bytes], bytes], ask: Callable[[ModbusLink], object], *, reply_timeout_s: float = 10.0
) -> object:
    """Ask a device that answers each request with whatever `answer` makes of it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                header = await reader.readexactly(7)
                request = header + await reader.readexactly(int.from_bytes(header[4:6], "big") - 1)
                writer.write(answer(request))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def whole() -> object:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        link = ModbusLink("127.0.0.1", server.sockets[0].getsockname()[1], reply_timeout_s=reply_timeout_s)
        try:
            return await ask(link)  # type: ignore[misc]
        finally:
            link.close()
            server.close()

    return asyncio.run(whole())


def reply(request: bytes, body: Sequence[int], *, unit: int | None = None, transaction: int | None = None) -> bytes:
    number = request[:2] if transaction is None else transaction.to_bytes(2, "big")
    content = bytes([request[6] if unit is None else unit, *body])
    return number + b"\0\0" + len(content).to_bytes(2, "big") + content


@pytest.mark.parametrize(
    ("code", "fault"),
    [(1, Refused), (2, Refused), (3, Refused), (4, Refused), (5, Busy), (6, Busy), (10, Silent), (11, Silent)],
)
def test_every_exception_code_has_its_meaning(code: int, fault: type[ModbusFault]) -> None:
    with pytest.raises(fault) as caught:
        answering(lambda request: reply(request, [0x83, code]), lambda link: link.read(2, 0, 1))
    assert type(caught.value) is fault


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: reply(request, [3, 2, 0, 7], unit=9),  # another unit
        lambda request: reply(request, [3, 2, 0, 7], transaction=0xBEEF),  # another question's
        lambda request: reply(request, [3, 4, 0, 7, 0, 8]),  # too many registers
        lambda request: reply(request, [3, 0]),  # none
        lambda request: b"",
        lambda request: b"\xff" * 40,
    ],
)
def test_an_answer_that_is_not_one_is_never_taken_for_a_value(answer: Callable[[bytes], bytes]) -> None:
    with pytest.raises((Garbled, Silent, ModbusFault)):
        answering(answer, lambda link: link.read(2, 0, 1), reply_timeout_s=0.5)


@given(noise=st.lists(st.binary(max_size=300), min_size=1, max_size=6), seed=st.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
def test_noise_on_the_wire_is_always_a_fault_with_a_name(noise: list[bytes], seed: int) -> None:
    """Whatever a device says, discovery ends with an error of ours, and the next request is made on a sound link."""
    choose = random.Random(seed)

    def answer(request: bytes) -> bytes:
        if choose.random() < 0.3:
            return reply(request, [3, 2 * request[11], *([0] * (2 * request[11]))]) if len(request) > 11 else b""
        return choose.choice(noise)

    async def ask(link: ModbusLink) -> None:
        await find_pack(link, asset_id=1, device_id=2)

    with pytest.raises(PlatformError):
        answering(answer, ask, reply_timeout_s=0.1)


@pytest.mark.parametrize("turns", range(6))
def test_a_gateway_stops_although_something_changes_in_that_moment(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to stop in any turn of the event loop after a change, it does not take the change for the answer."""

    async def nothing() -> None:
        pass

    async def whole() -> None:
        gateway = ModbusGateway(identity="test-modbus")
        monkeypatch.setattr(gateway, "_refresh", nothing)
        refreshing = asyncio.create_task(gateway._refresh_when_changed())
        await asyncio.sleep(0.01)
        gateway._changed.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        refreshing.cancel()
        _, unfinished = await asyncio.wait([refreshing], timeout=3.0)
        assert not unfinished

    asyncio.run(whole())
