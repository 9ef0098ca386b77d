"""A station of the twin against the real gateway, and what tests do with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.core.local_control import LocalControl
from fleet.models import Asset, Charger, DeviceCommand, Reading
from fleet.operations.commands import PowerSchedule, queue_schedules
from fleet.queries.assets import FlexibleAsset, fleet_snapshot
from fleet.twin.memory import Memory
from fleet.twin.ocpp.program import ChargerProgram
from fleet.twin.world import parse_world
from tests.integration.ocpp.support import PASSWORD, Background, Place, RunningGateway, eventually

FAIL_SAFE_KW = 5.0
METER_INTERVAL_S = 0.5
POWER = pytest.approx


class TwinStation:
    """A station of the twin with its car, in a loop in the background."""

    def __init__(self, place: Place, url: str, background: Background, memory: Memory | None = None) -> None:
        two_way = place.protocol == "ocpp2.1"
        evse = {"number": 1, "max_charge_kw": 11, "max_discharge_kw": 10 if two_way else 0, "min_charge_kw": 4.14}
        charger = {
            "identity": place.identity,
            "password": PASSWORD,
            "protocol": place.protocol,
            "meter_interval_s": METER_INTERVAL_S,
            "evses": [evse],
        }
        car = {
            "identity": "EV",
            "charger": place.identity,
            "evse": 1,
            "id_token": place.id_token,
            "battery_capacity_kwh": 60,
            "soc_fraction": 0.5,
            "max_charge_kw": 11,
            "max_discharge_kw": 10,
            "plug_in_s": 100_000,
            "departure_in_s": 200_000,
        }
        self.background = background
        world = parse_world({"chargers": [charger], "cars": [car]})
        self.program = ChargerProgram(world, url=url, start_spread_s=0.0, memory=memory)
        self.client = self.program.clients[place.identity]
        self.client.station.start_offline_after_s = 0.5
        self._running = asyncio.run_coroutine_threadsafe(self.program.run(), background.loop)

    def do(self, what: str, **given: Any) -> dict:
        """Give an order through the control port's handlers."""
        return self.background.run(self.program.handlers()[what]({"station": self.client.station.identity, **given}))

    def evse(self) -> dict:
        """What the EVSE is and does in truth, whatever it tells."""
        return self.do("show")["evses"][0]

    def stop(self) -> None:
        self._running.cancel()
        eventually(self._running.done)


@contextmanager
def probed_twin(place: Place, gateway: RunningGateway, background: Background) -> Iterator[TwinStation]:
    """A station of which the platform knows what it can do; at the end nothing that it heard was against the standard."""
    station = TwinStation(place, gateway.url, background)
    eventually(lambda: "fallback_kw" in Charger.objects.get(identity=place.identity).capabilities)
    yield station
    assert station.do("show")["violations"] == []
    station.stop()


def now() -> datetime:
    return datetime.now(UTC)


def wait_for_power(place: Place, power_kw: float) -> Reading:
    """Until a reading that was stored says that this power flows."""

    def found() -> Reading | None:
        latest = (
            Reading.objects.filter(asset_id=place.asset_id, power_kw__isnull=False).order_by("-measured_at").first()
        )
        return latest if latest is not None and latest.power_kw == POWER(power_kw, abs=0.02) else None

    return eventually(found)


def set_power(place: Place, power_kw: float, *, for_s: float = 60.0) -> DeviceCommand:
    """Tell the asset what power to follow, and wait for the station's word."""
    starts_at = now()
    until = starts_at + timedelta(seconds=for_s)
    queue_schedules(schedules=[PowerSchedule(place.asset_id, starts_at, (0.0,), (power_kw,), until)], now=starts_at)
    commands = DeviceCommand.objects.filter(asset_id=place.asset_id, valid_until=until)
    eventually(lambda: commands.exclude(state__in=("queued", "sent")).exists())
    command = commands.get()
    assert (command.state, command.answer) == ("confirmed", {"status": "Accepted"})
    return command


def tell(
    place: Place, *power_kw: float, control: LocalControl | None = None, for_s: float = 60.0, step_s: float = 30.0
) -> DeviceCommand:
    """Give a schedule and wait for the station's word."""
    starts_at = now()
    schedule = PowerSchedule(
        place.asset_id,
        starts_at,
        tuple(step_s * number for number in range(len(power_kw))),
        power_kw,
        starts_at + timedelta(seconds=for_s),
        control,
    )
    queue_schedules(schedules=[schedule], now=starts_at)
    command = DeviceCommand.objects.filter(asset_id=place.asset_id).latest("sequence")
    eventually(lambda: DeviceCommand.objects.get(pk=command.pk).state not in ("queued", "sent"))
    return DeviceCommand.objects.get(pk=command.pk)


def follows(twin: TwinStation, power_kw: float) -> None:
    eventually(lambda: twin.evse()["power_kw"] == POWER(power_kw, abs=0.05))


def snapshot(place: Place) -> FlexibleAsset:
    region_id = Asset.objects.get(pk=place.asset_id).site.grid_node.region_id
    (asset,) = fleet_snapshot(region_id=region_id, now=now()).assets
    return asset
