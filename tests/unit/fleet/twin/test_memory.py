"""What a station remembers survives its program; what it cannot have told is not ahead of what it remembers."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from fleet.twin.memory import Memory, recall, started_at
from fleet.twin.park import ChargingPark
from fleet.twin.profiles import Period
from fleet.twin.world import World, WorldCharger
from tests.unit.fleet.twin.test_charger import CAR, EVSE, START, Played, setpoint

Reborn = Callable[[Played], Played]


@pytest.fixture
def reborn(tmp_path: Path) -> Reborn:
    """Let a program die and begin again with what it had written down."""

    def begin_again(played: Played) -> Played:
        memory = Memory(tmp_path / "memory.json", b"world")
        memory.save(played.park)
        kept = Memory(tmp_path / "memory.json", b"world").load()
        assert kept is not None
        assert started_at(kept) == START
        other = Played(*(played.park.places[identity] for identity in played.park.cars), online=False)
        recall(other.park, kept)
        other.now = played.now
        return other

    return begin_again


def test_a_transaction_goes_on_where_it_was(reborn: Reborn) -> None:
    played = Played()
    transaction = played.charging()
    transaction.wire_id = "17"
    played.take(setpoint(-8.0), transaction_id="17", valid_to=played.now + timedelta(seconds=60))
    played.go(5)
    again = reborn(played)
    assert again.evse.transaction == transaction
    assert again.evse.meter.export_wh == played.evse.meter.export_wh > 0
    assert again.evse.car is not None
    assert played.evse.car is not None
    assert again.evse.car.energy_kwh == played.evse.car.energy_kwh
    assert again.evse.power_kw == 0.0
    again.go(3)
    assert again.evse.power_kw == pytest.approx(-8.0)
    assert again.evse.meter.export_wh > played.evse.meter.export_wh
    told = again.events()
    assert [event.sequence_number for event in told] == list(range(len(told)))
    assert all(event.transaction is again.evse.transaction for event in told)


def test_what_was_not_told_is_told_later(reborn: Reborn) -> None:
    played = Played(replace(CAR, unplug_s=6.0))
    played.charging()
    played.go(6)
    again = reborn(played)
    told, expected = again.events(), played.events()
    assert told == expected
    assert told[-1].kind == "ended"
    assert len({id(event.transaction) for event in told}) == 1
    assert again.evse.car is None
    again.go(5)
    assert again.evse.car is None


def test_cars_that_were_to_come_still_come(reborn: Reborn) -> None:
    played = Played(replace(CAR, plug_in_s=5.0))
    played.go(3)
    again = reborn(played)
    assert again.evse.car is None
    again.go(3)
    assert again.evse.car is not None
    assert again.evse.wants_authorisation


def test_profiles_outlive_the_program(reborn: Reborn) -> None:
    played = Played()
    played.charging()
    played.take(Period(0.0, limit_kw=6.0), Period(20.0, limit_kw=9.0), profile_id=4)
    again = reborn(played)
    assert list(again.station.profiles) == list(played.station.profiles)


def test_the_memory_of_another_world_or_a_broken_one_is_forgotten(tmp_path: Path) -> None:
    park = Played().park
    path = tmp_path / "memory.json"
    assert Memory(path, b"world").load() is None
    Memory(path, b"world").save(park)
    assert Memory(path, b"world").load() is not None
    assert Memory(path, b"another world").load() is None
    path.write_bytes(b'{"world_sha')
    assert Memory(path, b"world").load() is None


def test_two_lives_of_a_station_never_share_a_transaction() -> None:
    def key() -> str:
        charger = WorldCharger("CP", "secret", "ocpp2.1", (EVSE,))
        park = ChargingPark(World(seed=1, chargers=(charger,), cars=(CAR,)), (charger,), Played().park.clock)
        park.plug_in("EV", START)
        station = park.stations["CP"]
        return station.start_transaction(station.evses[1], id_token="T", now=START).key

    assert key() != key()
