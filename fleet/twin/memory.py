"""What stations and cars remember when their program dies: meters, batteries, transactions, and what was not yet told.

A real station keeps these where a loss of power cannot take them. The twin writes them to a file at every tick in
which something may be told, before it is told: a reading that was sent can never be ahead of the meter that comes back.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from time import monotonic
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import orjson

from fleet.twin.charger import SimulatedStation
from fleet.twin.evse import SimulatedEvse
from fleet.twin.meter import MeterReading
from fleet.twin.park import ChargingPark
from fleet.twin.profiles import ChargingProfile
from fleet.twin.transactions import Transaction, TransactionEvent

# writing takes at most this part of the time; it matters only when a long queue has piled up, and nothing is told then
MOST_TIME_FRACTION = 0.03
Built = TypeVar("Built")


class Memory:
    """The memory of the stations that play one world, in one file.

    Args:
        path: the file; what another world has left there is forgotten.
        world: the content of the world file.
    """

    def __init__(self, path: Path, world: bytes) -> None:
        self.path = path
        self.world_sha256 = hashlib.sha256(world).hexdigest()
        self._not_before = 0.0

    def load(self) -> dict | None:
        """What was remembered of this world; none if nothing was, or the file is of another world or broken."""
        try:
            content = orjson.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) and content.get("world_sha256") == self.world_sha256 else None

    def save(self, park: ChargingPark) -> None:
        """Write it down."""
        begun = monotonic()
        if begun < self._not_before:
            return
        content = orjson.dumps({"world_sha256": self.world_sha256, **remember(park)})
        fresh = self.path.with_suffix(".new")
        fresh.touch(mode=0o600)  # it holds the tokens of drivers
        fresh.write_bytes(content)
        os.replace(fresh, self.path)
        self._not_before = begun + (monotonic() - begun) / MOST_TIME_FRACTION if len(content) > 1_000_000 else 0.0


def started_at(content: dict) -> datetime:
    """When the world began that was remembered."""
    return datetime.fromisoformat(content["started_at"])


def remember(park: ChargingPark) -> dict:
    """All that has to survive, ready for JSON."""
    return {
        "started_at": park.clock.started_at,
        "coming": [car.identity for car in park.coming],
        "leaving": [car.identity for car in park.leaving],
        "cars": {identity: car.energy_kwh for identity, car in park.cars.items()},
        "stations": {identity: _of_station(station) for identity, station in park.stations.items()},
    }


def recall(park: ChargingPark, content: dict) -> None:
    """Put stations and cars back to where they were. Nothing flows until the next tick."""
    park.coming = [park.places[identity] for identity in content["coming"]]
    park.leaving = [park.places[identity] for identity in content["leaving"]]
    for identity, energy_kwh in content["cars"].items():
        park.cars[identity].energy_kwh = energy_kwh
    for identity, kept in content["stations"].items():
        _recall_station(park, park.stations[identity], kept)


def _of_station(station: SimulatedStation) -> dict:
    return {
        "profiles": list(station.profiles),
        "queue": [
            {
                **{field.name: getattr(event, field.name) for field in fields(event)},
                "transaction": event.transaction.key,
            }
            for event in station.queue
        ],
        "transactions": {event.transaction.key: event.transaction for event in station.queue},
        "evses": {str(number): _of_evse(evse) for number, evse in station.evses.items()},
    }


def _of_evse(evse: SimulatedEvse) -> dict:
    return {
        "import_wh": evse.meter.import_wh,
        "export_wh": evse.meter.export_wh,
        "car": evse.car.identity if evse.car is not None else None,
        "plugged_at": evse.plugged_at,
        "wants_authorisation": evse.wants_authorisation,
        "served": evse.served,
        "operative": evse.operative,
        "operative_later": evse.operative_later,
        "transaction": evse.transaction,
    }


def _recall_station(park: ChargingPark, station: SimulatedStation, kept: dict) -> None:
    transactions = {key: _rebuild(Transaction, value) for key, value in kept["transactions"].items()}
    for number, of_evse in kept["evses"].items():
        evse = station.evses[int(number)]
        evse.meter.import_wh, evse.meter.export_wh = of_evse["import_wh"], of_evse["export_wh"]
        evse.car = park.cars[of_evse["car"]] if of_evse["car"] is not None else None
        evse.plugged_at = datetime.fromisoformat(of_evse["plugged_at"]) if of_evse["plugged_at"] else None
        for name in ("wants_authorisation", "served", "operative", "operative_later"):
            setattr(evse, name, of_evse[name])
        if of_evse["transaction"] is not None:
            transaction = _rebuild(Transaction, of_evse["transaction"])
            evse.transaction = transactions.setdefault(transaction.key, transaction)
    for profile in kept["profiles"]:
        station.profiles.install(_rebuild(ChargingProfile, profile), replace_same_level=True)
    for event in kept["queue"]:
        reading = _rebuild(MeterReading, event["reading"])
        values = {**event, "transaction": transactions[event["transaction"]], "reading": reading}
        station.queue.put(TransactionEvent(**{**values, "at": datetime.fromisoformat(event["at"])}))


def _rebuild(kind: type[Built], content: dict) -> Built:
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], value) for name, value in content.items()})


def _value(hint: Any, value: Any) -> Any:
    if isinstance(hint, UnionType):
        return None if value is None else _value(get_args(hint)[0], value)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if get_origin(hint) is tuple:
        return tuple(_rebuild(get_args(hint)[0], each) for each in value)
    return value
