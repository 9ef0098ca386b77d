"""Two gateway processes behind a balancer: any holds any station, commands find them, and one is killed.

The stations are the twin's, of all three versions, over real sockets; the gateways are processes of `manage.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from fleet.models import Asset, Charger, ChargingSession, DeviceCommand
from fleet.operations.commands import PowerSchedule, queue_schedules
from fleet.twin.ocpp.client import BackOff
from fleet.twin.ocpp.program import ChargerProgram
from fleet.twin.world import parse_world
from tests.integration.fleet.fleets import forget_readings
from tests.integration.ocpp.support import PASSWORD, Background, Place, RawStation, eventually, make_place, now
from tests.scenario.gateway_processes import Balancer, OcppGatewayProcess
from tests.scenario.told_events import READINGS, SESSIONS, ToldEvents

PROTOCOLS = ("ocpp1.6", "ocpp2.0.1", "ocpp2.1")
STATIONS = 30
PATIENCE_S = 40.0
FIRST_KW, SECOND_KW, THIRD_KW = 5.0, 8.0, 6.0
SILENT = "CP-SILENT"


def world_of(places: list[Place]) -> dict[str, Any]:
    evse = {"number": 1, "max_charge_kw": 11, "min_charge_kw": 4.14}
    return {
        "chargers": [
            {
                "identity": place.identity,
                "password": PASSWORD,
                "protocol": place.protocol,
                "meter_interval_s": 1.0,
                "evses": [evse | {"max_discharge_kw": 10 if place.protocol == "ocpp2.1" else 0}],
            }
            for place in places
        ],
        "cars": [
            {
                "identity": f"EV-{place.identity}",
                "charger": place.identity,
                "evse": 1,
                "id_token": place.id_token,
                "battery_capacity_kwh": 60,
                "soc_fraction": 0.5,
                "max_charge_kw": 11,
                "max_discharge_kw": 10,
                "departure_in_s": 200_000,
            }
            for place in places
        ],
    }


class Street:
    """The stations, the balancer and the two gateways."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        forget_readings()
        self.places = [make_place(f"CP-{number:02d}", PROTOCOLS[number % 3]) for number in range(STATIONS)]
        self.gateways = {
            identity: OcppGatewayProcess(identity, environment=environment, log_path=folder / f"{identity}.log")
            for identity in ("gateway-a", "gateway-b")
        }
        for gateway in self.gateways.values():
            gateway.launch()
        for gateway in self.gateways.values():
            gateway.wait_ready()
        self.background = Background()
        self.balancer = Balancer(*(gateway.port for gateway in self.gateways.values()))
        self.background.run(self.balancer.start())
        self.url = f"ws://127.0.0.1:{self.balancer.port}"
        quick = BackOff(first_s=0.2, most_s=2.0, spread_s=0.3)
        self.program = ChargerProgram(parse_world(world_of(self.places)), url=self.url, back_off=quick)
        self.told = ToldEvents(self.program)
        self._running = asyncio.run_coroutine_threadsafe(self.program.run(), self.background.loop)

    def holders(self) -> dict[str, list[str]]:
        """The stations that each gateway holds, by the books; "" for nobody's."""
        held: dict[str, list[str]] = {}
        for identity, holder in Charger.objects.exclude(identity=SILENT).values_list("identity", "gateway_identity"):
            held.setdefault(holder, []).append(identity)
        return held

    def powers_kw(self) -> list[float]:
        """What flows at each station in truth."""
        return [station.evses[1].power_kw for station in self.program.park.stations.values()]

    def tell_all(self, power_kw: float) -> datetime:
        """Queue a set-point for every station; returns its end, by which its commands are known."""
        until = now() + timedelta(minutes=10)
        schedules = [PowerSchedule(place.asset_id, now(), (0.0,), (power_kw,), until) for place in self.places]
        assert queue_schedules(schedules=schedules, now=now()) == STATIONS
        return until

    def wait_followed(self, power_kw: float) -> None:
        """Until every car takes this power."""
        eventually(
            lambda: all(power == pytest.approx(power_kw, abs=0.05) for power in self.powers_kw()),
            patience_s=PATIENCE_S,
        )

    def everybody_leaves(self) -> None:
        async def leave() -> None:
            for place in self.places:
                await self.program.unplug({"car": f"EV-{place.identity}"})

        self.background.run(leave())
        eventually(
            lambda: not any(len(client.station.queue) for client in self.program.clients.values()),
            patience_s=PATIENCE_S,
        )

    def stop(self) -> None:
        self._running.cancel()
        eventually(self._running.done)
        self.background.run(self.balancer.stop())
        self.background.stop()
        for gateway in self.gateways.values():
            gateway.stop()


@pytest.fixture
def street(transactional_db: None, platform_environment: dict[str, str], tmp_path: Path) -> Iterator[Street]:
    running = Street(platform_environment, tmp_path)
    yield running
    running.stop()


def assert_confirmed_by_holders(until: datetime) -> None:
    """Every set-point was sent once, by the gateway that holds its station, and accepted."""
    commands = DeviceCommand.objects.filter(valid_until=until)
    # the stations of 2.1 that come back are told again
    eventually(lambda: not commands.filter(state__in=("queued", "sent")).exists(), patience_s=PATIENCE_S)
    assert set(commands.values_list("state", flat=True)) == {"confirmed"}
    assert commands.values("asset").distinct().count() == STATIONS
    holder = F("asset__evse__charger__gateway_identity")
    assert not commands.exclude(claimed_by=holder).exists()


def rows(query: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def connect_silent(street: Street, wanted: str) -> RawStation:
    """A station that hears a command and does not answer, at the wanted gateway, past the balancer."""
    place = make_place(SILENT, "ocpp1.6")
    station = street.background.run(
        RawStation.connect(f"ws://127.0.0.1:{street.gateways[wanted].port}", SILENT, place.protocol)
    )
    station.answers["SetChargingProfile"] = lambda payload: None
    eventually(lambda: Charger.objects.get(identity=SILENT).gateway_identity == wanted)
    until = now() + timedelta(minutes=10)
    queue_schedules(schedules=[PowerSchedule(place.asset_id, now(), (0.0,), (FIRST_KW,), until)], now=now())
    street.background.run(station.next_call("SetChargingProfile"))
    # its reading ends with an error when its gateway is killed, which nobody else looks at
    station.reading.add_done_callback(lambda reading: reading.exception())
    return station


def test_killed_gateway_gives_its_stations_to_the_other(street: Street) -> None:
    """Nothing of them is lost or doubled, and commands that nobody had answered find them there."""
    eventually(
        lambda: (
            ChargingSession.objects.filter(ended_at=None).count() == STATIONS
            and Charger.objects.filter(capabilities__has_key="fallback_kw").count() == STATIONS
        ),
        patience_s=PATIENCE_S,
    )
    shares = {identity: len(held) for identity, held in street.holders().items()}
    assert set(shares) == {"gateway-a", "gateway-b"} and min(shares.values()) >= STATIONS // 3, shares
    first = street.tell_all(FIRST_KW)
    assert_confirmed_by_holders(first)
    street.wait_followed(FIRST_KW)
    silent = connect_silent(street, "gateway-a")

    street.gateways["gateway-a"].kill()
    # decided while half of the stations are nobody's
    second = street.tell_all(SECOND_KW)
    eventually(lambda: {key: len(held) for key, held in street.holders().items()} == {"gateway-b": STATIONS})
    assert_confirmed_by_holders(second)
    street.wait_followed(SECOND_KW)
    back = street.background.run(RawStation.connect(street.url, SILENT, "ocpp1.6"))
    back.answers["SetChargingProfile"] = lambda payload: {"status": "Accepted"}
    again = street.background.run(back.next_call("SetChargingProfile"))
    assert again == silent.calls[-1][1]
    eventually(lambda: DeviceCommand.objects.get(asset__evse__charger__identity=SILENT).state == "confirmed")
    assert DeviceCommand.objects.get(asset__evse__charger__identity=SILENT).claimed_by == "gateway-b"

    # the dead one comes back, takes new connections, and holds nothing that it held before
    street.gateways["gateway-a"].launch()
    street.gateways["gateway-a"].wait_ready()
    assert "gateway-a" not in street.holders()
    street.gateways["gateway-b"].kill()
    eventually(lambda: {key: len(held) for key, held in street.holders().items()} == {"gateway-a": STATIONS})
    third = street.tell_all(THIRD_KW)
    assert_confirmed_by_holders(third)
    street.wait_followed(THIRD_KW)
    assert not Asset.objects.exclude(evse__charger__identity=SILENT).filter(connected=False).exists()
    assert ChargingSession.objects.count() == STATIONS

    street.everybody_leaves()
    assert street.told.ended == STATIONS
    street.told.assert_in_books(rows(SESSIONS), rows(READINGS))
    assert not any(client.all_violations() for client in street.program.clients.values())
