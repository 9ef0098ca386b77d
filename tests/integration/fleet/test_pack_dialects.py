"""Packs of every kind over real sockets: SunSpec 7xx and 1xx, a register profile, framed as Modbus TCP and as RTU."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from fleet.devices.modbus.discovery import find_pack
from fleet.devices.modbus.pack import SteeredPack
from fleet.devices.modbus.profile import UnknownProfile
from fleet.devices.modbus.sunspec import SunSpecError
from fleet.devices.modbus.unit import discover, read_model, read_scale_factors, write_points
from fleet.devices.modbus.wire import ModbusLink, Refused, Silent
from fleet.twin.modbus.plant import PackFault, Plant
from fleet.twin.world import parse_world
from tests.integration.fleet.loops import free_port

KINDS = [
    ("sunspec", "tcp", 40_000),
    ("sunspec", "tcp", 0),
    ("sunspec", "tcp", 50_000),
    ("sunspec", "rtu_over_tcp", 40_000),
    ("sunspec_legacy", "tcp", 40_000),
    ("sunspec_legacy", "rtu_over_tcp", 40_000),
    ("victron_ess", "tcp", 40_000),
    ("victron_ess", "rtu_over_tcp", 40_000),
]


class Clock:
    """Seconds that a test sets forward."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Bench:
    """One simulated pack and a link to it."""

    def __init__(self, plant: Plant, link: ModbusLink, clock: Clock, dialect: str) -> None:
        self.plant, self.link, self.clock, self.dialect = plant, link, clock, dialect

    async def pack(self) -> SteeredPack:
        profile = "victron-ess" if self.dialect == "victron_ess" else ""
        return await find_pack(self.link, asset_id=7, device_id=2, register_profile=profile)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.clock.now_s += 1.0
            self.plant.advance()

    @property
    def power_kw(self) -> float:
        return float(self.plant.inverters[0].bank.power_kw[0])


@asynccontextmanager
async def bench(dialect: str, framing: str = "tcp", base_address: int = 40_000) -> AsyncIterator[Bench]:
    port, clock = free_port(), Clock()
    pack = {
        "identity": "PACK-001",
        "device_id": 2,
        "nameplate_kwh": 24,
        "soc_fraction": 0.6,
        "max_charge_kw": 20,
        "max_discharge_kw": 20,
    }
    inverter = {
        "identity": "INV-1",
        "host": "127.0.0.1",
        "port": port,
        "max_charge_kw": 100,
        "max_discharge_kw": 100,
        "packs": [pack],
        "framing": framing,
        "dialect": dialect,
        "base_address": base_address,
    }
    plant = Plant(parse_world({"inverters": [inverter]}), hour=lambda: 12.0, clock=clock)
    await plant.listen()
    link = ModbusLink("127.0.0.1", port, framing=framing)
    try:
        yield Bench(plant, link, clock, dialect)
    finally:
        link.close()
        await plant.close()


def run(body: Callable[[Bench], Coroutine[Any, Any, None]], *kind: Any) -> None:
    async def whole() -> None:
        async with bench(*kind) as stand:
            await body(stand)

    asyncio.run(whole())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind)))
def test_every_kind_of_pack_is_found_read_steered_and_falls_back_by_itself(kind: tuple[str, str, int]) -> None:
    async def body(stand: Bench) -> None:
        pack = await stand.pack()
        for power_kw in (-7.5, 4.0):
            await pack.set_power(stand.link, power_kw=power_kw, fail_safe_kw=0.0, holds_for_s=600)
            stand.pass_time(5)
            assert stand.power_kw == pytest.approx(power_kw, abs=0.02)
            reading = await pack.read_meter(stand.link, with_battery=True)
            assert reading.power_kw == pytest.approx(power_kw, abs=0.05)
            assert reading.soc_fraction == pytest.approx(0.6, abs=0.01)
            assert reading.temperature_c == pytest.approx(25, abs=0.5)
        stand.pass_time(12)
        await pack.beat_heart(stand.link)
        stand.pass_time(12)
        assert stand.power_kw == pytest.approx(4.0, abs=0.02)
        stand.pass_time(70)  # nobody speaks to it any longer
        assert stand.power_kw == 0.0

    run(body, *kind)


@pytest.mark.parametrize("dialect", ["sunspec", "sunspec_legacy", "victron_ess"])
def test_a_set_point_ends_with_its_schedule_though_the_heart_beats_on(dialect: str) -> None:
    async def body(stand: Bench) -> None:
        pack = await stand.pack()
        await pack.set_power(stand.link, power_kw=-5.0, fail_safe_kw=0.0, holds_for_s=0.4)
        stand.pass_time(1)
        await asyncio.sleep(0.5)
        await pack.beat_heart(stand.link)
        stand.pass_time(3)
        assert stand.power_kw == 0.0

    run(body, dialect)


def test_a_wrong_unit_is_no_pack_and_says_what_it_is() -> None:
    async def body(stand: Bench) -> None:
        with pytest.raises(SunSpecError, match="it has 1, 701, 702"):
            await find_pack(stand.link, asset_id=7, device_id=1)
        with pytest.raises(SunSpecError, match="no victron-ess"):
            await find_pack(stand.link, asset_id=7, device_id=2, register_profile="victron-ess")
        with pytest.raises(UnknownProfile, match="victron-ess"):
            await find_pack(stand.link, asset_id=7, device_id=2, register_profile="nonesuch")

    run(body, "sunspec", "tcp", 0)


def test_cells_and_alarms_are_read() -> None:
    async def body(stand: Bench) -> None:
        for dialect_fault, spread_v, alarms in (
            (None, 0.02, ()),
            (PackFault.SPREAD, 0.6, ()),
            (PackFault.ALARM, 0.02, ("OTHER_ALARM",)),
        ):
            stand.plant.set_faults({"PACK-001": dialect_fault} if dialect_fault else {})
            pack = await stand.pack()
            await pack.read_meter(stand.link, with_battery=True)
            assert pack.condition.cell_spread_v == pytest.approx(spread_v, abs=0.002)
            assert pack.condition.alarms == alarms

    run(body, "sunspec")
    run(body, "sunspec_legacy")


@pytest.mark.parametrize(
    ("dialect", "models"),
    [
        ("sunspec", [1, 701, 702, 703, 704, 713, 714, 715, 802, 803, 804, 805]),
        ("sunspec_legacy", [1, 103, 120, 121, 122, 123, 124, 802]),
    ],
)
def test_every_model_is_read_whole(dialect: str, models: list[int]) -> None:
    async def body(stand: Bench) -> None:
        unit = await discover(stand.link, 2)
        assert [placed.model.model_id for placed in unit.chain] == models
        read = {placed.model.model_id: await read_model(stand.link, unit, placed) for placed in unit.chain}
        assert read[1]["Mn"] == "Second Life Works"
        assert read[802]["SoC"] == pytest.approx(60, abs=0.1)
        if dialect == "sunspec":
            assert read[713]["WHRtg"] == 24_000
            assert read[804]["NMod"] == 2
            assert read[805]["lithium-ion-module-cell.0.CellV"] == pytest.approx(3.82, abs=0.02)
            assert read[701]["Hz_SF"] is None  # not implemented
        else:
            assert read[124]["WChaMax"] == 20_000

    run(body, dialect)


@pytest.mark.parametrize(
    ("dialect", "model_id", "values", "shown"),
    [
        ("sunspec", 702, {"WMax": 15_000}, {"WMax": 15_000}),
        ("sunspec", 703, {"ES": "DISABLED"}, {"ES": 0}),
        ("sunspec", 704, {"WMaxLimPctEna": 1, "WMaxLimPct": 40}, {"WMaxLimPctEna": 1, "WMaxLimPct": 40}),
        ("sunspec", 715, {"OpCtl": "ENTER_STANDBY"}, {"OpCtl": 2}),
        ("sunspec", 802, {"SetOp": "DISCONNECT"}, {"SetOp": 2}),
        ("sunspec_legacy", 121, {"WMax": 12_000}, {"WMax": 12_000}),
        ("sunspec_legacy", 123, {"WMaxLimPct": 75.5}, {"WMaxLimPct": 75.5}),
        ("sunspec_legacy", 124, {"MinRsvPct": 20}, {"MinRsvPct": 20}),
    ],
)
def test_writable_points_of_every_control_model_are_written(
    dialect: str, model_id: int, values: dict[str, Any], shown: dict[str, float]
) -> None:
    async def body(stand: Bench) -> None:
        unit = await discover(stand.link, 2)
        await read_scale_factors(stand.link, unit, (model_id,))
        await write_points(stand.link, unit, model_id, values)
        read = await read_model(stand.link, unit, unit.models[model_id])
        assert {name: read[name] for name in shown} == pytest.approx(shown)

    run(body, dialect)


def test_what_an_earlier_model_cannot_do_is_refused_by_name() -> None:
    async def body(stand: Bench) -> None:
        pack = await stand.pack()
        with pytest.raises(Refused, match="fail-safe"):
            await pack.set_power(stand.link, power_kw=1.0, fail_safe_kw=2.0, holds_for_s=60)
        with pytest.raises(Refused, match="storage rate"):
            await pack.set_power(stand.link, power_kw=21.0, fail_safe_kw=0.0, holds_for_s=60)

    run(body, "sunspec_legacy")


def test_a_late_answer_over_rtu_is_never_taken_for_the_next_ones() -> None:
    """RTU frames have no number: register 0 is answered after its time, and must not be read as register 9."""

    async def whole() -> None:
        asked: list[int] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    request = await reader.readexactly(8)
                    register = request[3]
                    asked.append(register)
                    if register == 0:
                        await asyncio.sleep(0.5)
                    body = bytes([request[0], 3, 2, 0, register])
                    writer.write(body + crc16(body))
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        link = ModbusLink("127.0.0.1", port, framing="rtu_over_tcp", reply_timeout_s=0.2)
        with pytest.raises(Silent):
            await link.read(2, 0, 1)
        assert await link.read(2, 9, 1) == [9]
        assert asked == [0, 9]
        link.close()
        server.close()

    asyncio.run(whole())


def crc16(message: bytes) -> bytes:
    """CRC of Modbus over serial line 1.02, 6.2.2, low byte first."""
    crc = 0xFFFF
    for byte in message:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


def test_the_probe_command_shows_and_writes_a_device_before_it_is_registered() -> None:
    async def body(stand: Bench) -> None:
        out = StringIO()
        address = ["--host", stand.link.host, "--port", str(stand.link.port), "--device-id", "2"]
        setting = ["--set", "704.WMaxLimPct=50", "--framing", "rtu_over_tcp"]
        await asyncio.to_thread(call_command, "modbus_probe", *address, *setting, stdout=out)
        models = {item["model"]: item["points"] for item in json.loads(out.getvalue())}
        assert models[704]["WMaxLimPct"] == 50
        with pytest.raises(CommandError, match="cannot be written"):
            await asyncio.to_thread(call_command, "modbus_probe", *address, *setting[2:], "--set", "701.W=1")

    run(body, "sunspec", "rtu_over_tcp")
