"""All simulated MQTT chargers of a world, and the cars that come to them, moved on by one clock."""

from __future__ import annotations

import threading
from datetime import datetime

from fleet.twin.car import SimulatedCar, advance_cars
from fleet.twin.clock import TwinClock
from fleet.twin.mqtt.client import ChargerClient
from fleet.twin.mqtt.station import MqttStation
from fleet.twin.world import World, WorldCar

TICK_S = 0.2
# a process that was held up does not let the cars jump
LONGEST_STEP_S = 5.0


class MqttPark:
    """The chargers, each with a connection of its own to the broker."""

    def __init__(self, world: World, *, broker_url: str, clock: TwinClock) -> None:
        self.clock = clock
        self.stations: dict[str, MqttStation] = {}
        for charger in world.mqtt_chargers():
            station = MqttStation(charger, seed=world.seed)
            station.client = ChargerClient(
                identity=charger.identity, password=charger.password, broker_url=broker_url, hardware=station
            )
            self.stations[charger.identity] = station
        self.cars = {car.identity: SimulatedCar.of_world(car) for car in world.cars if car.charger in self.stations}
        self._coming = sorted((car for car in world.cars if car.identity in self.cars), key=lambda car: car.plug_in_s)
        self._leaving: list[WorldCar] = []
        self._last_at: datetime | None = None

    def start(self) -> None:
        """Connect all chargers."""
        for station in self.stations.values():
            station.client.start()

    def stop(self) -> None:
        """Disconnect all chargers, all at once: each takes a moment to say goodbye."""
        goodbyes = [threading.Thread(target=station.client.stop) for station in self.stations.values()]
        for goodbye in goodbyes:
            goodbye.start()
        for goodbye in goodbyes:
            goodbye.join(1.5)

    @property
    def connected_count(self) -> int:
        return sum(station.client.connected for station in self.stations.values())

    def tick(self, now: datetime) -> None:
        """Move the world on to an instant."""
        elapsed_s = 0.0 if self._last_at is None else (now - self._last_at).total_seconds()
        step_s = min(max(elapsed_s, 0.0), LONGEST_STEP_S) * self.clock.speed
        self._last_at = now
        self._move_cars(now)
        served = [pair for station in self.stations.values() for pair in station.offers(now)]
        advance_cars([car for car, _ in served], [offer for _, offer in served], step_s=step_s)
        for station in self.stations.values():
            station.observe(now, step_s)

    def _move_cars(self, now: datetime) -> None:
        world_s = self.clock.world_s(now)
        while self._coming and self._coming[0].plug_in_s <= world_s:
            car = self._coming.pop(0)
            self.stations[car.charger].plug_in(car.evse, self.cars[car.identity], now)
            self._leaving.append(car)
        for car in [car for car in self._leaving if _leaves_s(car) <= world_s]:
            self._leaving.remove(car)
            self.stations[car.charger].unplug(car.evse, now)


def _leaves_s(car: WorldCar) -> float:
    return car.departure_in_s if car.unplug_s is None else car.unplug_s
