"""SunSpec layouts and encodings: lengths as published, values there and back, and what a device may get wrong."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.devices.modbus.sunspec import (
    SUNSPEC_IDENTIFIER,
    Point,
    SunSpecError,
    check_scale_factor,
    decode,
    encode,
    fitting_scale_factor,
    model_layout,
    model_of_length,
)
from fleet.devices.modbus.unit import SunSpecUnit, discover, plan_blocks, read_points, read_scale_factors, write_points
from fleet.devices.modbus.wire import Refused


def point(kind: str, *, size: int = 1, scale: str | None = None) -> Point:
    return Point("P", kind, 0, size, scale, True, {"ON": 1, "OFF": 0})


@pytest.mark.parametrize(
    ("model_id", "repetitions", "length"),
    [
        (1, 0, 66),
        (203, 0, 105),
        (701, 0, 153),
        (702, 0, 50),
        (704, 0, 65),
        (713, 0, 7),
        (714, 1, 43),
        (714, 2, 68),
        (715, 0, 7),
        (802, 0, 62),
    ],
)
def test_lengths_are_those_of_the_published_models(model_id: int, repetitions: int, length: int) -> None:
    assert model_layout(model_id, repetitions).length == length


def test_points_do_not_overlap_and_fill_their_model() -> None:
    for model_id, repetitions in ((701, 0), (704, 0), (714, 3), (802, 0)):
        model = model_layout(model_id, repetitions)
        covered = sorted(i for p in model.points.values() for i in range(p.offset, p.offset + p.size))
        assert covered == list(range(model.registers))


@pytest.mark.parametrize(
    ("kind", "size", "low", "high"),
    [
        ("int16", 1, -32767, 32767),
        ("uint16", 1, 0, 65534),
        ("int32", 2, -(2**31) + 1, 2**31 - 1),
        ("uint64", 4, 0, 2**64 - 2),
        ("acc32", 2, 0, 2**32 - 1),
    ],
)
@given(data=st.data())
def test_numbers_come_back_as_they_went(kind: str, size: int, low: int, high: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(low, high))
    assert decode(point(kind, size=size), encode(point(kind, size=size), value)) == value


@given(value=st.floats(-3000, 3000), factor=st.integers(-1, 3))
def test_scaled_numbers_come_back_to_their_resolution(value: float, factor: int) -> None:
    scaled = point("int16", scale="SF")
    back = decode(scaled, encode(scaled, value, factor), factor)
    assert isinstance(back, float)
    assert math.isclose(back, value, abs_tol=0.5 * 10.0**factor + 1e-9)


@pytest.mark.parametrize(("kind", "size"), [("int16", 1), ("uint16", 1), ("int32", 2), ("uint64", 4), ("enum16", 1)])
def test_what_is_not_implemented_is_none_there_and_back(kind: str, size: int) -> None:
    assert decode(point(kind, size=size), encode(point(kind, size=size), None)) is None


def test_text_is_cut_and_padded() -> None:
    text = point("string", size=4)
    assert decode(text, encode(text, "abc")) == "abc"
    assert decode(text, encode(text, "longer than eight")) == "longer t"
    assert decode(text, [0] * 4) is None


def test_a_value_that_does_not_fit_names_the_point() -> None:
    with pytest.raises(SunSpecError, match="P: "):
        encode(point("int16"), 40_000)


def test_a_named_value_is_its_number() -> None:
    assert encode(point("enum16"), "ON") == [1]


@pytest.mark.parametrize("value", [11, -11, 300, 1.5, "x"])
def test_an_impossible_scale_factor_is_an_error(value: float | str) -> None:
    with pytest.raises(SunSpecError, match="A_SF"):
        check_scale_factor("A_SF", value)


def test_the_scale_factor_of_100_kwh_is_one() -> None:
    assert fitting_scale_factor(model_layout(713).point("WHRtg"), 100_000) == 1


def test_a_shorter_revision_of_a_model_lacks_its_last_points() -> None:
    short = model_of_length(701, 60)
    assert "W" in short.points
    assert "MnAlrmInfo" not in short.points
    assert short.registers == 62


class Device:
    """Registers behind a link, counting the requests."""

    host, port = "device", 502

    def __init__(self, base: int, models: Sequence[tuple[int, int]]) -> None:
        self.registers: dict[int, int] = dict(enumerate(SUNSPEC_IDENTIFIER, base))
        self.reads = 0
        address = base + 2
        for model_id, length in (*models, (0xFFFF, 0)):
            self.registers |= {address + i: 0 for i in range(length + 2)} | {address: model_id, address + 1: length}
            address += length + 2

    async def read(self, device_id: int, address: int, count: int) -> list[int]:
        self.reads += 1
        if any(address + i not in self.registers for i in range(count)):
            raise Refused("illegal data address")
        return [self.registers[address + i] for i in range(count)]

    async def write(self, device_id: int, address: int, registers: Sequence[int]) -> None:
        self.registers |= dict(enumerate(registers, address))


def found(device: Device) -> SunSpecUnit:
    return asyncio.run(discover(device, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize("base", [40_000, 0, 50_000])
def test_models_are_found_at_every_base_and_a_vendors_own_are_passed_over(base: int) -> None:
    unit = found(Device(base, [(1, 66), (64_999, 17), (701, 153), (714, 43)]))
    assert {model_id: placed.address for model_id, placed in unit.models.items()} == {
        1: base + 2,
        701: base + 2 + 68 + 19,
        714: base + 2 + 68 + 19 + 155,
    }


def test_what_does_not_say_sunspec_is_none() -> None:
    device = Device(40_000, [(1, 66)])
    device.registers[40_000] = 1
    with pytest.raises(SunSpecError, match="no SunSpec device"):
        found(device)


def test_a_chain_of_models_without_end_is_an_error() -> None:
    device = Device(40_000, [(1, 66), (701, 60_000)])
    with pytest.raises(SunSpecError, match="no end"):
        found(device)


def test_a_read_never_asks_for_more_than_125_registers_and_close_points_come_together() -> None:
    device = Device(40_000, [(701, 153), (713, 7)])
    unit = found(device)
    plan = plan_blocks(unit, {701: ("W", "TotWhInj", "MnAlrmInfo"), 713: ("SoC",)})
    assert [block.count <= 125 for block, _ in plan] == [True, True]
    device.reads = 0
    values = asyncio.run(read_points(device, unit, plan))  # type: ignore[arg-type]
    assert device.reads == 2
    assert set(values) == {(701, "W"), (701, "TotWhInj"), (701, "MnAlrmInfo"), (713, "SoC")}


def test_scale_factors_are_read_once_and_applied() -> None:
    device = Device(40_000, [(701, 153)])
    unit = found(device)
    place = unit.place(701, "W_SF")
    device.registers[place.address] = 2
    device.registers[unit.place(701, "W").address] = 0x10000 - 73
    asyncio.run(read_scale_factors(device, unit, (701,)))  # type: ignore[arg-type]
    values = asyncio.run(read_points(device, unit, plan_blocks(unit, {701: ("W",)})))  # type: ignore[arg-type]
    assert values[701, "W"] == -7300.0


def test_only_neighbours_that_are_writable_are_written_at_once() -> None:
    device = Device(40_000, [(704, 65)])
    unit = found(device)
    with pytest.raises(SunSpecError, match="next to"):
        asyncio.run(write_points(device, unit, 704, {"WSetEna": 1, "WSet": 5}))  # type: ignore[arg-type]
    with pytest.raises(SunSpecError, match="cannot be written"):
        asyncio.run(write_points(device, unit, 704, {"WSetRvrtRem": 5}))  # type: ignore[arg-type]
    asyncio.run(write_points(device, unit, 704, {"WSetMod": 1, "WSetEna": 1, "WSet": -70_000}))  # type: ignore[arg-type]
    start = unit.place(704, "WSetEna").address
    assert [device.registers[start + i] for i in range(4)] == [1, 1, 0xFFFE, 0xEE90]
