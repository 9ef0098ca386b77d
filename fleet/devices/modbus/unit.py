"""A SunSpec device behind a unit identifier: where its models lie, and reading and writing their points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from fleet.devices.modbus.sunspec import (
    BASE_ADDRESSES,
    END_MODEL_ID,
    HEADER_REGISTERS,
    MAX_BLOCK_REGISTERS,
    SUNSPEC_IDENTIFIER,
    Model,
    Point,
    SunSpecError,
    check_scale_factor,
    decode,
    encode,
    model_of_length,
)
from fleet.devices.modbus.wire import ModbusLink, Refused

# A chain of models longer than this is no chain but noise.
_MOST_MODELS = 64
Value = float | int | str | None


@dataclass(frozen=True, slots=True)
class PlacedModel:
    """A model and the address of its ID register."""

    model: Model
    address: int


@dataclass(frozen=True, slots=True)
class PlacedPoint:
    """A point of a model of this device, with the power of ten that its device scales it by."""

    point: Point
    address: int
    scale_factor: int


@dataclass(frozen=True, slots=True)
class Block:
    """Registers read at once, and the points in them."""

    address: int
    count: int
    points: tuple[PlacedPoint, ...]


@dataclass
class SunSpecUnit:
    """One unit: its models as discovered, and the scale factors, which a device keeps constant.

    `models` has the first of each kind, which is the device's own; `chain` all of them in the order of the map.
    """

    device_id: int
    models: dict[int, PlacedModel] = field(default_factory=dict)
    chain: list[PlacedModel] = field(default_factory=list)
    scale_factors: dict[tuple[int, str], int] = field(default_factory=dict)

    def has(self, model_id: int, point_name: str) -> bool:
        """Whether the device's model has the point; it may still not implement it."""
        return model_id in self.models and point_name in self.models[model_id].model.points

    def place(self, model_id: int, point_name: str) -> PlacedPoint:
        """Raises SunSpecError if the device has no such model or point."""
        if model_id not in self.models:
            raise SunSpecError(f"The device has no SunSpec model {model_id}.", field="model_id")
        placed = self.models[model_id]
        point = placed.model.point(point_name)
        scale = (
            point.scale if isinstance(point.scale, int) else self.scale_factors.get((model_id, point.scale or ""), 0)
        )
        return PlacedPoint(point, placed.address + point.offset, scale)


async def discover(link: ModbusLink, device_id: int) -> SunSpecUnit:
    """Find the models of a unit: "SunS" at 40000, 0 or 50000, then one header after the other, then the scale factors.

    Raises:
        ModbusFault: the unit cannot be read.
        SunSpecError: it answers, but is no SunSpec device.
    """
    unit = SunSpecUnit(device_id)
    address = await _find_base(link, device_id) + len(SUNSPEC_IDENTIFIER)
    while len(unit.chain) < _MOST_MODELS:
        model_id, length = await link.read(device_id, address, HEADER_REGISTERS)
        if model_id == END_MODEL_ID or length == 0:
            break
        with suppress(SunSpecError):  # a vendor's own model: its length leads on to the next
            placed = PlacedModel(model_of_length(model_id, length), address)
            unit.chain.append(placed)
            unit.models.setdefault(model_id, placed)
        address += HEADER_REGISTERS + length
        if address + HEADER_REGISTERS > 0x10000:
            raise SunSpecError(f"Unit {device_id}: the chain of models has no end.", field="device_id")
    return unit


async def read_scale_factors(link: ModbusLink, unit: SunSpecUnit, model_ids: Sequence[int]) -> None:
    """Read once the scale factors of the models that are going to be used."""
    for model_id in model_ids:
        placed = unit.models.get(model_id)
        names = [name for name, point in placed.model.points.items() if point.type == "sunssf"] if placed else []
        if names:
            values = await read_points(link, unit, plan_blocks(unit, {model_id: names}))
            for name in names:
                unit.scale_factors[model_id, name] = check_scale_factor(name, values[model_id, name])


async def read_model(link: ModbusLink, unit: SunSpecUnit, placed: PlacedModel) -> dict[str, Value]:
    """Every point of one model, scaled, as the device shows it now; None for what it does not implement.

    Raises:
        ModbusFault: the unit cannot be read.
        SunSpecError: a scale factor is impossible.
    """
    model_id = placed.model.model_id
    alone = SunSpecUnit(unit.device_id, {model_id: placed}, [placed])
    await read_scale_factors(link, alone, (model_id,))
    values = await read_points(link, alone, plan_blocks(alone, {model_id: tuple(placed.model.points)}))
    return {name: value for (_, name), value in values.items()}


async def _find_base(link: ModbusLink, device_id: int) -> int:
    for base in BASE_ADDRESSES:
        try:
            if tuple(await link.read(device_id, base, len(SUNSPEC_IDENTIFIER))) == SUNSPEC_IDENTIFIER:
                return base
        except Refused:
            continue
    raise SunSpecError(
        f"Unit {device_id} at {link.host}:{link.port} is no SunSpec device.",
        field="device_id",
        remedy=f"None of the registers {', '.join(map(str, BASE_ADDRESSES))} holds 'SunS'; check address and unit.",
    )


Plan = tuple[tuple[Block, tuple[tuple[int, str], ...]], ...]


def plan_blocks(unit: SunSpecUnit, wanted: Mapping[int, Sequence[str]]) -> Plan:
    """The fewest reads that cover the wanted points, each of at most 125 registers. Points the device lacks are left out."""
    keys = [(model_id, name) for model_id, names in wanted.items() for name in names if unit.has(model_id, name)]
    placed = sorted(((unit.place(*key), key) for key in keys), key=lambda pair: pair[0].address)
    plan: list[tuple[Block, tuple[tuple[int, str], ...]]] = []
    group: list[tuple[PlacedPoint, tuple[int, str]]] = []
    for item in placed:
        if group and item[0].address + item[0].point.size - group[0][0].address > MAX_BLOCK_REGISTERS:
            plan.append(_block(group))
            group = []
        group.append(item)
    if group:
        plan.append(_block(group))
    return tuple(plan)


def _block(group: Sequence[tuple[PlacedPoint, tuple[int, str]]]) -> tuple[Block, tuple[tuple[int, str], ...]]:
    points = tuple(point for point, _ in group)
    first, last = points[0], points[-1]
    count = last.address + last.point.size - first.address
    return Block(first.address, count, points), tuple(key for _, key in group)


async def read_points(link: ModbusLink, unit: SunSpecUnit, plan: Plan) -> dict[tuple[int, str], Value]:
    """The values of a plan's points, by model and name; None for what the device does not implement."""
    values: dict[tuple[int, str], Value] = {}
    for block, keys in plan:
        registers = await link.read(unit.device_id, block.address, block.count)
        for placed, key in zip(block.points, keys, strict=True):
            start = placed.address - block.address
            values[key] = decode(placed.point, registers[start : start + placed.point.size], placed.scale_factor)
    return values


async def write_points(link: ModbusLink, unit: SunSpecUnit, model_id: int, values: Mapping[str, Value]) -> None:
    """Write neighbouring points of a model in one request, so that the device takes all of them or none.

    Raises:
        SunSpecError: the points do not lie side by side, are not writable, or a value does not fit.
    """
    placed = sorted((unit.place(model_id, name) for name in values), key=lambda point: point.address)
    registers: list[int] = []
    for item in placed:
        if not item.point.writable:
            raise SunSpecError(f"{item.point.name} cannot be written.", field=item.point.name)
        if item.address != placed[0].address + len(registers):
            raise SunSpecError(f"{item.point.name} does not lie next to the point before it.", field=item.point.name)
        registers += encode(item.point, values[item.point.name], item.scale_factor)
    await link.write(unit.device_id, placed[0].address, registers)
