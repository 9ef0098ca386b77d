"""All stations and cars of a world together, moved on by one clock."""

from __future__ import annotations

from datetime import datetime

from common.errors import NotFound
from fleet.twin.car import SimulatedCar, advance_cars
from fleet.twin.charger import SimulatedStation
from fleet.twin.clock import TwinClock
from fleet.twin.world import World, WorldCar, WorldCharger

# a process that was held up does not let the cars jump
LONGEST_STEP_S = 5.0


class ChargingPark:
    """The stations and the cars that come to them."""

    def __init__(self, world: World, chargers: tuple[WorldCharger, ...], clock: TwinClock) -> None:
        self.clock = clock
        self.stations = {charger.identity: SimulatedStation(charger, seed=world.seed) for charger in chargers}
        self.cars = {car.identity: SimulatedCar.of_world(car) for car in world.cars}
        self.places = {car.identity: car for car in world.cars if car.charger in self.stations}
        self.coming = sorted(self.places.values(), key=lambda car: car.plug_in_s)
        self.leaving: list[WorldCar] = []
        self._last_at: datetime | None = None

    def tick(self, now: datetime) -> None:
        """Move the world on to an instant."""
        elapsed_s = 0.0 if self._last_at is None else (now - self._last_at).total_seconds()
        step_s = min(max(elapsed_s, 0.0), LONGEST_STEP_S) * self.clock.speed
        self._last_at = now
        self._move_cars(now)
        for station in self.stations.values():
            station.decide(now)
        served = [
            (evse.car, evse.offer)
            for station in self.stations.values()
            for evse in station.evses.values()
            if evse.car is not None
        ]
        advance_cars([car for car, _ in served], [offer for _, offer in served], step_s=step_s)
        for station in self.stations.values():
            station.observe(now, step_s)

    def plug_in(self, car_identity: str, now: datetime) -> None:
        """Connect a car at its station, whatever its hour.

        Raises:
            NotFound: no such car comes to these stations.
        """
        place = self._place(car_identity)
        self.coming = [car for car in self.coming if car.identity != car_identity]
        self.stations[place.charger].plug_in(place.evse, self.cars[car_identity], now)

    def unplug(self, car_identity: str, now: datetime) -> None:
        """Let a car leave, whatever its hour.

        Raises:
            NotFound: no such car comes to these stations.
        """
        place = self._place(car_identity)
        evse = self.stations[place.charger].evses[place.evse]
        if evse.car is self.cars[car_identity]:
            self.stations[place.charger].unplug(place.evse, now)

    def _place(self, car_identity: str) -> WorldCar:
        if car_identity not in self.places:
            raise NotFound(f"no car {car_identity!r} comes to these stations.", field="car")
        return self.places[car_identity]

    def _move_cars(self, now: datetime) -> None:
        world_s = self.clock.world_s(now)
        while self.coming and self.coming[0].plug_in_s <= world_s:
            car = self.coming.pop(0)
            self.stations[car.charger].plug_in(car.evse, self.cars[car.identity], now)
            self.leaving.append(car)
        for car in [car for car in self.leaving if _leaves_s(car) <= world_s]:
            self.leaving.remove(car)
            self.unplug(car.identity, now)


def _leaves_s(car: WorldCar) -> float:
    return car.departure_in_s if car.unplug_s is None else car.unplug_s
