"""SunSpec information models as register layouts, from the definitions that `pysunspec2` ships, and their encoding.

A model is its header (ID, length), its points, then its groups; every point has a place, a type and perhaps a scale
factor, which is another point of the model. SunSpec Device Information Model Specification 1.2; Modbus is big-endian.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from common.errors import PlatformError

SUNSPEC_IDENTIFIER = (0x5375, 0x6E53)  # "SunS"
BASE_ADDRESSES = (40_000, 0, 50_000)
END_MODEL_ID = 0xFFFF
HEADER_REGISTERS = 2
MAX_BLOCK_REGISTERS = 125  # of one Modbus read

# type -> (struct code, value that means "not implemented")
_NUMBERS: dict[str, tuple[str, int | None]] = {
    "int16": ("h", -0x8000),
    "int32": ("i", -0x8000_0000),
    "int64": ("q", -0x8000_0000_0000_0000),
    "uint16": ("H", 0xFFFF),
    "uint32": ("I", 0xFFFF_FFFF),
    "uint64": ("Q", 0xFFFF_FFFF_FFFF_FFFF),
    "acc16": ("H", 0),
    "acc32": ("I", 0),
    "acc64": ("Q", 0),
    "count": ("H", 0),
    "enum16": ("H", 0xFFFF),
    "enum32": ("I", 0xFFFF_FFFF),
    "bitfield16": ("H", 0xFFFF),
    "bitfield32": ("I", 0xFFFF_FFFF),
    "bitfield64": ("Q", 0xFFFF_FFFF_FFFF_FFFF),
    "sunssf": ("h", -0x8000),
    "pad": ("H", 0x8000),
    "raw16": ("H", None),
    "float32": ("f", None),  # not implemented is NaN
    "float64": ("d", None),
}
_SCALE_RANGE = range(-10, 11)


class SunSpecError(PlatformError):
    """A device does not say what SunSpec promises, or a value does not fit a point."""

    code = "sunspec"


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a model: `offset` and `size` in registers from the model's ID; `scale` names its scale factor."""

    name: str
    type: str
    offset: int
    size: int
    scale: str | int | None
    writable: bool
    symbols: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Model:
    """The layout of a model with so many repetitions of its group; `registers` counts the header."""

    model_id: int
    points: Mapping[str, Point]
    registers: int

    @property
    def length(self) -> int:
        """What the model's L point says: the registers after the header."""
        return self.registers - HEADER_REGISTERS

    def point(self, name: str) -> Point:
        """Raises SunSpecError for a name that the model does not have."""
        try:
            return self.points[name]
        except KeyError:
            raise SunSpecError(f"Model {self.model_id} has no point {name}.", field=name) from None


@cache
def model_layout(model_id: int, repetitions: int = 0) -> Model:
    """The layout of a model. Points of groups are named `Group.Point`, of repeating groups `Group.index.Point`.

    Raises:
        SunSpecError: there is no definition of that model.
    """
    definition = resources.files("sunspec2") / "models" / "json" / f"model_{model_id}.json"
    if not definition.is_file():
        raise SunSpecError(f"SunSpec model {model_id} is not known.", field="model_id")
    group = json.loads(definition.read_text())["group"]
    points: dict[str, Point] = {}
    end = _place(group, "", 0, repetitions, points)
    return Model(model_id, points, end)


def model_of_length(model_id: int, length: int) -> Model:
    """The layout of a model as a device shows it: the repetitions follow from the length it gives.

    A device may implement an earlier, shorter revision: what lies beyond its length is left out.
    """
    once, twice = model_layout(model_id), model_layout(model_id, 1)
    step = twice.registers - once.registers
    repetitions = max(length - once.length, 0) // step if step else 0
    full = model_layout(model_id, repetitions)
    if length >= full.length:
        return full
    present = {name: point for name, point in full.points.items() if point.offset + point.size <= length + 2}
    return Model(model_id, present, length + HEADER_REGISTERS)


def _place(group: dict[str, Any], prefix: str, offset: int, repetitions: int, points: dict[str, Point]) -> int:
    """Put the points of a group, then its groups, one after the other; returns where the next thing begins."""
    for definition in group["points"]:
        name = prefix + definition["name"]
        size = definition["size"]
        points[name] = Point(
            name=name,
            type=definition["type"],
            offset=offset,
            size=size,
            scale=definition.get("sf"),
            writable=definition.get("access") == "RW",
            symbols={symbol["name"]: symbol["value"] for symbol in definition.get("symbols", ())},
        )
        offset += size
    for inner in group.get("groups", ()):
        count = inner.get("count", 1)
        if count == 1:
            offset = _place(inner, f"{prefix}{inner['name']}.", offset, 0, points)
            continue
        for index in range(repetitions if isinstance(count, str) or count == 0 else count):
            offset = _place(inner, f"{prefix}{inner['name']}.{index}.", offset, 0, points)
    return offset


def decode(point: Point, registers: Sequence[int], scale_factor: int = 0) -> float | int | str | None:
    """The value of a point's registers; None where the device does not implement it.

    Numbers with a scale factor come as floats: value · 10^scale_factor.

    Raises:
        SunSpecError: the number of registers is not the point's, or the type is not known.
    """
    if len(registers) != point.size:
        raise SunSpecError(f"{point.name} has {point.size} registers, not {len(registers)}.", field=point.name)
    raw = struct.pack(f">{point.size}H", *registers)
    if point.type == "string":
        return raw.split(b"\0", 1)[0].decode("utf-8", errors="replace").strip() or None
    code, missing = _number(point)
    value: float = struct.unpack(f">{code}", raw)[0]
    if value != value:
        return None
    if value == missing and not point.type.startswith("acc"):
        return None
    return value if point.scale is None else value * 10.0**scale_factor


def encode(point: Point, value: float | int | str | None, scale_factor: int = 0) -> list[int]:
    """The registers of a value, rounded to what the scale factor resolves; None is "not implemented".

    Raises:
        SunSpecError: the value does not fit the point.
    """
    if point.type == "string":
        raw = str(value or "").encode()[: 2 * point.size].ljust(2 * point.size, b"\0")
        return list(struct.unpack(f">{point.size}H", raw))
    code, missing = _number(point)
    number: float
    if point.type.startswith("float"):
        number = math.nan if value is None else float(value)
    elif value is None:
        number = missing or 0
    elif isinstance(value, str):
        number = point.symbols[value]
    else:
        number = round(value if point.scale is None else value / 10.0**scale_factor)
    try:
        raw = struct.pack(f">{code}", number)
    except struct.error:
        raise SunSpecError(
            f"{value} with scale factor {scale_factor} does not fit {point.type}.", field=point.name
        ) from None
    return list(struct.unpack(f">{point.size}H", raw))


def _number(point: Point) -> tuple[str, int | None]:
    try:
        return _NUMBERS[point.type]
    except KeyError:
        raise SunSpecError(f"{point.name} is of type {point.type}, which is not known.", field=point.name) from None


def check_scale_factor(name: str, value: float | int | str | None) -> int:
    """A scale factor as the device gave it; one that it does not implement is 0.

    Raises:
        SunSpecError: it is not between −10 and 10.
    """
    if value is None:
        return 0
    if not isinstance(value, int) or value not in _SCALE_RANGE:
        raise SunSpecError(f"The scale factor {value} is not between -10 and 10.", field=name)
    return value


def fitting_scale_factor(point: Point, largest: float) -> int:
    """The finest scale factor with which a point can hold numbers as large as `largest`."""
    code, _ = _number(point)
    bits = 8 * struct.calcsize(code) - (1 if code.islower() else 0)
    ceiling = 2**bits - 2
    return next(factor for factor in _SCALE_RANGE if largest / 10.0**factor <= ceiling)
