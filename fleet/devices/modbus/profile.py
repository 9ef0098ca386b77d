"""Inverters that do not speak SunSpec, described by data: which registers mean what, and how a set-point is written.

A profile is a TOML file in `profiles/` beside this module, or in the folder that MODBUS_PROFILES_DIR names. Every error
names the file and the field. `profiles/victron-ess.toml` is the worked example.
"""

from __future__ import annotations

import math
import struct
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from common.errors import InvalidInput, NotFound

PROFILES = Path(__file__).with_name("profiles")

# type -> (struct code, registers)
_TYPES = {"int16": ("h", 1), "uint16": ("H", 1), "int32": ("i", 2), "uint32": ("I", 2), "float32": ("f", 2)}
_TABLES = ("holding", "input")
_WORD_ORDERS = ("big", "little")
_DIRECTIONS = ("in", "out")
# measurement -> unit -> factor to ours (kW, kWh, fraction, °C)
_MEASUREMENTS: Mapping[str, Mapping[str, float]] = {
    "power": {"W": 1e-3, "kW": 1.0},
    "import_energy": {"Wh": 1e-3, "kWh": 1.0},
    "export_energy": {"Wh": 1e-3, "kWh": 1.0},
    "soc": {"percent": 0.01, "fraction": 1.0},
    "state_of_health": {"percent": 0.01, "fraction": 1.0},
    "temperature": {"celsius": 1.0},
    "cell_voltage_max": {"V": 1.0, "mV": 1e-3},
    "cell_voltage_min": {"V": 1.0, "mV": 1e-3},
    "alarm": {"flag": 1.0},
}
_QUANTITIES = ("power", "charge", "discharge", "magnitude", "hold", "direction", "constant")
_POWER_QUANTITIES = ("power", "charge", "discharge", "magnitude")
_SILENCE, _TIMER = "silence", "timer"


class InvalidProfile(InvalidInput):
    """A profile file cannot be used."""

    code = "invalid_profile"


class UnknownProfile(NotFound):
    """There is no profile of that name."""

    code = "unknown_profile"


@dataclass(frozen=True, slots=True)
class Register:
    """Where a number lies and how it is written: value = raw · factor, in the profile's own unit."""

    address: int
    table: str
    type: str
    word_order: str
    factor: float
    missing: float | None

    @property
    def count(self) -> int:
        return _TYPES[self.type][1]

    def decode(self, registers: Sequence[int]) -> float | None:
        """The number in the registers; None for the device's own mark of "not known" and for no finite number."""
        words = list(registers) if self.word_order == "big" else list(reversed(registers))
        raw = struct.unpack(f">{_TYPES[self.type][0]}", struct.pack(f">{self.count}H", *words))[0]
        if not math.isfinite(raw) or raw == self.missing:
            return None
        return float(raw) * self.factor

    def encode(self, value: float) -> list[int]:
        """The registers of a number. Raises InvalidProfile if it does not fit the type."""
        code = _TYPES[self.type][0]
        raw = value / self.factor
        try:
            packed = struct.pack(f">{code}", raw if code == "f" else round(raw))
        except (struct.error, OverflowError):
            raise InvalidProfile(f"{value:g} does not fit {self.type}.", field=f"register {self.address}") from None
        words = list(struct.unpack(f">{self.count}H", packed))
        return words if self.word_order == "big" else words[::-1]


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measurement in our unit: register value · `to_ours`, which turns the sign where the device counts the other way."""

    register: Register
    to_ours: float

    def read(self, registers: Sequence[int]) -> float | None:
        value = self.register.decode(registers)
        return None if value is None else value * self.to_ours


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a set-point. `from_kw` converts kW into the profile's unit and sign."""

    register: Register
    quantity: str
    from_kw: float
    value: float
    directions: Mapping[str, float]

    def registers(self, power_kw: float, hold_s: float) -> list[int]:
        """What to write for a power (+ into the pack) that holds for a time."""
        match self.quantity:
            case "power":
                number = power_kw * self.from_kw
            case "charge":
                number = max(power_kw, 0.0) * self.from_kw
            case "discharge":
                number = max(-power_kw, 0.0) * self.from_kw
            case "magnitude":
                number = abs(power_kw) * self.from_kw
            case "hold":
                number = math.ceil(hold_s)
            case "direction":
                number = self.directions["idle" if power_kw == 0 else "charge" if power_kw > 0 else "discharge"]
            case _:
                number = self.value
        return self.register.encode(number)


@dataclass(frozen=True, slots=True)
class RegisterProfile:
    """A kind of inverter. `falls_back_after_s` is how long a set-point lasts that nobody renews; for a device with a
    timer the longest that the platform sets it to."""

    name: str
    vendor: str
    model: str
    source: str
    identify: tuple[tuple[Register, tuple[float, ...]], ...]
    measurements: Mapping[str, Measurement]
    writes: tuple[Write, ...]
    fail_safe: str
    falls_back_after_s: float


def load_profile(name: str, *, folders: Sequence[Path] = (PROFILES,)) -> RegisterProfile:
    """The profile of a name, from the first folder that has its file.

    Raises:
        UnknownProfile: no folder has it.
        InvalidProfile: its file is wrong; the error names file and field.
    """
    for folder in folders:
        path = folder / f"{name}.toml"
        if name and "/" not in name and path.is_file():
            return read_profile(path)
    known = sorted(path.stem for folder in folders if folder.is_dir() for path in folder.glob("*.toml"))
    raise UnknownProfile(
        f"There is no profile {name!r}.", field="register_profile", remedy=f"Use one of {', '.join(known)}, or add it."
    )


def read_profile(path: Path) -> RegisterProfile:
    """Read and check a profile file. Raises InvalidProfile."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidProfile(f"It is no TOML: {error}.", field=path.name, remedy="Mend the file.") from error
    return parse_profile(content, file=path.name, name=path.stem)


def parse_profile(content: Mapping[str, Any], *, file: str, name: str) -> RegisterProfile:
    """Check the content of a profile file. Raises InvalidProfile."""
    table = _Table(content, file)
    table.only("profile", "identify", "measurements", "setpoint", "fail_safe")
    about = table.table("profile")
    about.only("vendor", "model", "source")
    measurements = table.table("measurements")
    measurements.only(*_MEASUREMENTS)
    parsed = {key: _measurement(measurements.table(key), key) for key in measurements.content}
    if "power" not in parsed:
        raise measurements.wrong("power", "is missing", "Say where the power at the grid side is read.")
    setpoint = table.table("setpoint")
    setpoint.only("writes")
    writes = tuple(_write(item) for item in setpoint.tables("writes"))
    kind, after_s = _fail_safe(table.table("fail_safe"), writes)
    return RegisterProfile(
        name=name,
        vendor=about.text("vendor"),
        model=about.text("model"),
        source=about.text("source"),
        identify=tuple(_identify(item) for item in (table.tables("identify") if "identify" in content else ())),
        measurements=parsed,
        writes=writes,
        fail_safe=kind,
        falls_back_after_s=after_s,
    )


def _measurement(table: _Table, key: str) -> Measurement:
    signed = ("positive",) if key == "power" else ()
    table.only(*_REGISTER_FIELDS, "unit", *signed)
    factor = _MEASUREMENTS[key][table.word("unit", tuple(_MEASUREMENTS[key]))]
    if key == "power" and table.word("positive", _DIRECTIONS) == "out":
        factor = -factor
    return Measurement(_register(table), factor)


def _write(table: _Table) -> Write:
    table.only(*_REGISTER_FIELDS, "quantity", "unit", "positive", "value", "values")
    register = _register(table)
    if register.table != "holding":
        raise table.wrong("table", "is 'input'", "Input registers cannot be written; use 'holding'.")
    quantity = table.word("quantity", _QUANTITIES)
    from_kw, value, directions = 1.0, 0.0, {}
    if quantity in _POWER_QUANTITIES:
        from_kw = 1.0 / _MEASUREMENTS["power"][table.word("unit", ("W", "kW"))]
        if quantity == "power" and table.word("positive", _DIRECTIONS) == "out":
            from_kw = -from_kw
    elif quantity == "constant":
        value = table.number("value")
    elif quantity == "direction":
        words = table.table("values")
        words.only("charge", "discharge", "idle")
        directions = {word: words.number(word) for word in ("charge", "discharge", "idle")}
    return Write(register, quantity, from_kw, value, directions)


def _identify(table: _Table) -> tuple[Register, tuple[float, ...]]:
    table.only(*_REGISTER_FIELDS, "one_of")
    return _register(table), table.numbers("one_of")


def _fail_safe(table: _Table, writes: Sequence[Write]) -> tuple[str, float]:
    """How the device falls back by itself. One that does not may not be steered: a dead gateway would leave it running."""
    table.only("kind", "after_s")
    kind = table.word("kind", (_SILENCE, _TIMER))
    if kind == _TIMER and not any(write.quantity == "hold" for write in writes):
        raise table.wrong("kind", "is 'timer', and no write has the quantity 'hold'", "Say where the timer is written.")
    after_s = table.number("after_s")
    if not 3 <= after_s <= 3600:
        raise table.wrong("after_s", f"is {after_s:g}", "Give 3 to 3600 seconds.")
    return kind, after_s


_REGISTER_FIELDS = ("register", "table", "type", "word_order", "factor", "missing")


def _register(table: _Table) -> Register:
    return Register(
        address=table.count("register", least=0, most=0xFFFF),
        table=table.word("table", _TABLES, otherwise="holding"),
        type=table.word("type", tuple(_TYPES)),
        word_order=table.word("word_order", _WORD_ORDERS, otherwise="big"),
        factor=table.number("factor", otherwise=1.0, zero=False),
        missing=table.number("missing") if "missing" in table.content else None,
    )


Found = TypeVar("Found")


class _Table:
    """Typed access to a table of the file; every error names the file and the place."""

    def __init__(self, content: Mapping[str, Any], file: str, place: str = "") -> None:
        self.content = content
        self._file = file
        self._place = place

    def wrong(self, key: str, what: str, remedy: str) -> InvalidProfile:
        """An error at a key of this table."""
        return InvalidProfile(f"{self._place}{key} {what}.", field=self._file, remedy=remedy)

    def only(self, *keys: str) -> None:
        """Refuse every key but these: a misspelt one would be left out without a word."""
        for key in self.content:
            if key not in keys:
                raise self.wrong(key, "is not known", f"Use {', '.join(keys)}.")

    def _get(self, key: str, expected: str, fits: Callable[[Any], bool], otherwise: Found | None = None) -> Any:
        if key not in self.content and otherwise is not None:
            return otherwise
        value = self.content.get(key)
        if key not in self.content:
            raise self.wrong(key, "is missing", f"Give {expected}.")
        if not fits(value):
            raise self.wrong(key, f"is {str(value)[:60]!r}", f"Give {expected}.")
        return value

    def table(self, key: str) -> _Table:
        value = self._get(key, "a table", lambda value: isinstance(value, dict))
        return _Table(value, self._file, f"{self._place}{key}.")

    def tables(self, key: str) -> list[_Table]:
        values = self._get(
            key,
            "a list of tables",
            lambda v: isinstance(v, list) and bool(v) and all(isinstance(item, dict) for item in v),
        )
        return [_Table(value, self._file, f"{self._place}{key}[{index}].") for index, value in enumerate(values)]

    def text(self, key: str) -> str:
        return str(self._get(key, "a text", lambda value: isinstance(value, str) and bool(value.strip())))

    def word(self, key: str, words: Sequence[str], *, otherwise: str | None = None) -> str:
        return str(self._get(key, f"one of {', '.join(words)}", lambda value: value in words, otherwise))

    def number(self, key: str, *, otherwise: float | None = None, zero: bool = True) -> float:
        expected = "a number" if zero else "a number that is not zero"
        return float(self._get(key, expected, lambda value: _is_number(value) and (zero or value != 0), otherwise))

    def numbers(self, key: str) -> tuple[float, ...]:
        expected = "a list of numbers"
        values = self._get(key, expected, lambda v: isinstance(v, list) and bool(v) and all(map(_is_number, v)))
        return tuple(float(value) for value in values)

    def count(self, key: str, *, least: int, most: int) -> int:
        expected = f"a whole number from {least} to {most}"
        value = self._get(
            key, expected, lambda v: isinstance(v, int) and not isinstance(v, bool) and least <= v <= most
        )
        return int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
