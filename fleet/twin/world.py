"""The world that the digital twin plays: one JSON file, read by every program of the twin.

The file is written with the portfolio; the twin reads nothing else, above all not the database. Keys that are not
named here are left alone, so that a program may add its own.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from common.errors import InvalidInput

# How the power falls as cells fill: constant current, then constant voltage, as chargers show it. What the twin assumes
# of cars and packs that say nothing else.
CAR_TAPER_FROM_FRACTION, CAR_FULL_POWER_FRACTION = 0.8, 0.4
PACK_TAPER_FROM_FRACTION, PACK_FULL_POWER_FRACTION = 0.9, 0.3

OCPP_PROTOCOLS = ("ocpp1.6", "ocpp2.0.1", "ocpp2.1")
PROTOCOLS = (*OCPP_PROTOCOLS, "mqtt")
FRAMINGS = ("tcp", "rtu_over_tcp")
DIALECTS = ("sunspec", "sunspec_legacy", "victron_ess")
REMEDY = "Write the world again with seed_portfolio, or mend the file."


@dataclass(frozen=True, slots=True)
class WorldEvse:
    """An EVSE of a station. `fail_safe_kw` is what it takes when no profile holds; none means as much as it can."""

    number: int
    max_charge_kw: float
    max_discharge_kw: float = 0.0
    min_charge_kw: float = 0.0
    phases: int = 3
    fail_safe_kw: float | None = None


@dataclass(frozen=True, slots=True)
class WorldCharger:
    """A charging station."""

    identity: str
    password: str
    protocol: str
    evses: tuple[WorldEvse, ...]
    vendor: str = "Twin"
    model: str = "Twin"
    serial_number: str = ""
    firmware_version: str = "1.0.0"
    meter_interval_s: float = 10.0
    # OCPP's, and the PEM of the authority that vouches for its central system (profiles 2 and 3)
    security_profile: int = 1
    root_certificate: str = ""


@dataclass(frozen=True, slots=True)
class WorldCar:
    """A car: where and when it plugs in, its battery, and what its driver wants. Seconds count from the twin's start.

    A car without `unplug_s` leaves when it said it would, at `departure_in_s`.
    """

    identity: str
    charger: str
    evse: int
    id_token: str
    battery_capacity_kwh: float
    soc_fraction: float
    max_charge_kw: float
    max_discharge_kw: float = 0.0
    charge_efficiency: float = 0.92
    discharge_efficiency: float = 0.92
    plug_in_s: float = 0.0
    unplug_s: float | None = None
    departure_in_s: float = 36_000.0
    target_soc_fraction: float = 0.8
    floor_soc_fraction: float = 0.3
    taper_from_fraction: float = CAR_TAPER_FROM_FRACTION
    full_power_fraction: float = CAR_FULL_POWER_FRACTION


@dataclass(frozen=True, slots=True)
class WorldPack:
    """A reused battery pack behind an inverter."""

    identity: str
    device_id: int
    nameplate_kwh: float
    max_charge_kw: float
    max_discharge_kw: float
    state_of_health_fraction: float = 0.8
    soc_fraction: float = 0.5
    charge_efficiency: float = 0.94
    discharge_efficiency: float = 0.94
    temperature_c: float = 25.0
    serial_number: str = ""
    taper_from_fraction: float = PACK_TAPER_FROM_FRACTION
    full_power_fraction: float = PACK_FULL_POWER_FRACTION


@dataclass(frozen=True, slots=True)
class WorldInverter:
    """An inverter and the packs behind its TCP port.

    `framing` is "tcp" or "rtu_over_tcp"; `dialect` "sunspec" (models 7xx), "sunspec_legacy" (1xx) or "victron_ess", which
    is no SunSpec at all.
    """

    identity: str
    host: str
    port: int
    max_charge_kw: float
    max_discharge_kw: float
    device_id: int = 1
    packs: tuple[WorldPack, ...] = ()
    framing: str = "tcp"
    dialect: str = "sunspec"
    base_address: int = 40_000


@dataclass(frozen=True, slots=True)
class WorldMeter:
    """A meter of a site: its load or its photovoltaics."""

    identity: str
    role: str
    host: str
    port: int
    device_id: int = 1
    peak_kw: float = 0.0


@dataclass(frozen=True, slots=True)
class WorldComputer:
    """A computer on board of a car."""

    identity: str
    token: str
    car: str
    cpu_cores: int = 4
    memory_mib: int = 4096


@dataclass(frozen=True, slots=True)
class World:
    """All that the twin plays."""

    seed: int = 1
    chargers: tuple[WorldCharger, ...] = ()
    cars: tuple[WorldCar, ...] = ()
    inverters: tuple[WorldInverter, ...] = ()
    meters: tuple[WorldMeter, ...] = ()
    computers: tuple[WorldComputer, ...] = ()

    def ocpp_chargers(self) -> tuple[WorldCharger, ...]:
        """The stations that speak OCPP."""
        return tuple(charger for charger in self.chargers if charger.protocol in OCPP_PROTOCOLS)

    def mqtt_chargers(self) -> tuple[WorldCharger, ...]:
        """The stations whose firmware speaks MQTT."""
        return tuple(charger for charger in self.chargers if charger.protocol == "mqtt")

    def cars_at(self, charger: str) -> tuple[WorldCar, ...]:
        """The cars that come to a station."""
        return tuple(car for car in self.cars if car.charger == charger)


class WorldInvalid(InvalidInput):
    """The world file cannot be played."""

    code = "world_invalid"


def load_world(path: Path | str) -> World:
    """Read and check a world file.

    Raises:
        WorldInvalid: the file is missing, is not JSON, lacks a value, holds one of a wrong type or out of range, or
            refers to something it does not hold. The error names the place, such as `cars[3].evse`.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise WorldInvalid(
            f"{path} cannot be read: {error.strerror}.", field="--world", remedy="Run seed_portfolio first."
        ) from error
    try:
        content = json.loads(text)
    except ValueError as error:
        raise WorldInvalid(f"{path} is not JSON: {error}.", field="--world", remedy=REMEDY) from error
    return parse_world(content)


def parse_world(content: Any) -> World:
    """Check the content of a world file; see `load_world`."""
    world = _build(World, content, "")
    _check_values(world)
    _check_references(world)
    return world


Built = TypeVar("Built")


def _build(kind: type[Built], value: Any, place: str) -> Built:
    if not isinstance(value, dict):
        raise _wrong(place or "world", f"an object is expected, not {value!r}")
    hints = typing.get_type_hints(kind)
    given = {}
    for field in fields(kind):  # type: ignore[arg-type]
        here = f"{place}.{field.name}" if place else field.name
        if field.name in value:
            given[field.name] = _convert(hints[field.name], value[field.name], here)
        elif field.default is MISSING:
            raise _wrong(here, "this value is missing")
    return kind(**given)


def _convert(hint: Any, value: Any, place: str) -> Any:
    if isinstance(hint, types.UnionType):
        return None if value is None else _convert(hint.__args__[0], value, place)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise _wrong(place, f"a list is expected, not {value!r}")
        return tuple(_convert(hint.__args__[0], item, f"{place}[{index}]") for index, item in enumerate(value))
    if is_dataclass(hint):
        return _build(hint, value, place)  # type: ignore[arg-type]
    accepted = (int, float) if hint is float else (hint,)
    if not isinstance(value, accepted) or isinstance(value, bool):
        raise _wrong(place, f"{'a number' if hint in (int, float) else 'text'} is expected, not {value!r}")
    return hint(value)


def _check_values(world: World) -> None:
    for index, charger in enumerate(world.chargers):
        here = f"chargers[{index}]"
        _require(charger.protocol in PROTOCOLS, f"{here}.protocol", f"{charger.protocol!r} is none of {PROTOCOLS}")
        _require(charger.meter_interval_s > 0, f"{here}.meter_interval_s", "it must be above 0")
        _require(bool(charger.evses), f"{here}.evses", "a station has at least one")
        for evse in charger.evses:
            _require(evse.number >= 1, f"{here}.evses.number", "EVSEs count from 1")
            _require(evse.phases in (1, 2, 3), f"{here}.evses.phases", "it must be 1, 2 or 3")
            _require(
                0 <= evse.min_charge_kw <= evse.max_charge_kw, f"{here}.evses", "0 ≤ min_charge_kw ≤ max_charge_kw"
            )
            _require(evse.max_discharge_kw >= 0, f"{here}.evses.max_discharge_kw", "it is never negative")
    for index, inverter in enumerate(world.inverters):
        here = f"inverters[{index}]"
        _require(inverter.framing in FRAMINGS, f"{here}.framing", f"{inverter.framing!r} is none of {FRAMINGS}")
        _require(inverter.dialect in DIALECTS, f"{here}.dialect", f"{inverter.dialect!r} is none of {DIALECTS}")
    for index, car in enumerate(world.cars):
        here = f"cars[{index}]"
        _require(car.battery_capacity_kwh > 0, f"{here}.battery_capacity_kwh", "it must be above 0")
        tapers = 0 < car.taper_from_fraction <= 1 and 0 < car.full_power_fraction <= 1
        _require(tapers, f"{here}.taper_from_fraction, full_power_fraction", "both are above 0 and at most 1")
        for name in ("soc_fraction", "target_soc_fraction", "floor_soc_fraction"):
            _require(0 <= getattr(car, name) <= 1, f"{here}.{name}", "it must lie between 0 and 1")
        for name in ("charge_efficiency", "discharge_efficiency"):
            _require(0 < getattr(car, name) <= 1, f"{here}.{name}", "it must lie above 0 and not above 1")
        _require(car.max_charge_kw > 0, f"{here}.max_charge_kw", "it must be above 0")
        _require(car.max_discharge_kw >= 0, f"{here}.max_discharge_kw", "it is never negative")


def _check_references(world: World) -> None:
    for name in ("chargers", "cars", "inverters", "meters", "computers"):
        _require_unique((item.identity for item in getattr(world, name)), name)
    evses = {(charger.identity, evse.number) for charger in world.chargers for evse in charger.evses}
    for index, car in enumerate(world.cars):
        known = (car.charger, car.evse) in evses
        _require(known, f"cars[{index}].charger", f"there is no EVSE {car.evse} at {car.charger!r}")
    _check_lengths(world)
    cars = {car.identity for car in world.cars}
    for index, computer in enumerate(world.computers):
        _require(computer.car in cars, f"computers[{index}].car", f"there is no car {computer.car!r}")


def _check_lengths(world: World) -> None:
    """What the schemas of OCPP have no room for would fail only once a station sends it."""
    protocol = {charger.identity: charger.protocol for charger in world.chargers}
    for index, charger in enumerate(world.chargers):
        for name in ("vendor", "model"):
            _require(1 <= len(getattr(charger, name)) <= 20, f"chargers[{index}].{name}", "it has 1 to 20 characters")
    for index, car in enumerate(world.cars):
        most = 20 if protocol[car.charger] == "ocpp1.6" else 36
        _require(1 <= len(car.id_token) <= most, f"cars[{index}].id_token", f"it has 1 to {most} characters")


def _require_unique(identities: Iterable[str], place: str) -> None:
    seen: set[str] = set()
    for identity in identities:
        _require(identity not in seen, place, f"{identity!r} stands there twice")
        seen.add(identity)


def _require(holds: bool, place: str, reason: str) -> None:
    if not holds:
        raise _wrong(place, reason)


def _wrong(place: str, reason: str) -> WorldInvalid:
    return WorldInvalid(f"{reason}.", field=place, remedy=REMEDY)
