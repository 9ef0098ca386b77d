"""A world file is taken as it was written, or refused by the place that is wrong."""

import copy
import json
from pathlib import Path

import pytest

from fleet.twin.portfolio import draw_portfolio
from fleet.twin.portfolio_world import world_of
from fleet.twin.world import WorldInvalid, load_world, parse_world

WORLD = {
    "seed": 3,
    "chargers": [
        {
            "identity": "CP-1",
            "password": "secret",
            "protocol": "ocpp2.1",
            "vendor": "V",
            "model": "M",
            "meter_interval_s": 2,
            "evses": [{"number": 1, "max_charge_kw": 11, "max_discharge_kw": 11, "min_charge_kw": 1.4, "phases": 3}],
        },
        {"identity": "MQ-1", "password": "s", "protocol": "mqtt", "evses": [{"number": 1, "max_charge_kw": 7.4}]},
    ],
    "cars": [
        {
            "identity": "EV-1",
            "charger": "CP-1",
            "evse": 1,
            "id_token": "T",
            "battery_capacity_kwh": 60,
            "soc_fraction": 0.5,
            "max_charge_kw": 11,
            "unplug_s": None,
        }
    ],
    "inverters": [
        {
            "identity": "INV-1",
            "host": "127.0.0.1",
            "port": 15021,
            "max_charge_kw": 750,
            "max_discharge_kw": 750,
            "packs": [
                {
                    "identity": "P-1",
                    "device_id": 2,
                    "nameplate_kwh": 24,
                    "max_charge_kw": 20,
                    "max_discharge_kw": 20,
                    "temperature_c": 24,
                }
            ],
        }
    ],
    "computers": [{"identity": "CPU-1", "token": "t", "car": "EV-1"}],
    "a key of somebody else": {},
}


def test_a_world_is_read_with_its_defaults(tmp_path: Path) -> None:
    (tmp_path / "world.json").write_text(json.dumps(WORLD))
    world = load_world(tmp_path / "world.json")
    assert world.chargers[0].evses[0].max_discharge_kw == 11.0
    assert world.chargers[1].evses[0].phases == 3
    assert world.cars[0].unplug_s is None
    assert world.inverters[0].packs[0].temperature_c == 24.0
    assert [charger.identity for charger in world.ocpp_chargers()] == ["CP-1"]
    assert [charger.identity for charger in world.mqtt_chargers()] == ["MQ-1"]
    assert world.cars_at("CP-1") == world.cars


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("cars", 0, "soc_fraction"), 1.2, "cars[0].soc_fraction"),
        (("cars", 0, "soc_fraction"), "half", "cars[0].soc_fraction"),
        (("cars", 0, "evse"), 2, "cars[0].charger"),
        (("cars", 0, "charge_efficiency"), 0, "cars[0].charge_efficiency"),
        (("chargers", 0, "protocol"), "ocpp1.5", "chargers[0].protocol"),
        (("chargers", 0, "evses"), [], "chargers[0].evses"),
        (("chargers", 1, "identity"), "CP-1", "chargers"),
        (("inverters", 0, "packs", 0, "device_id"), "two", "inverters[0].packs[0].device_id"),
        (("computers", 0, "car"), "EV-9", "computers[0].car"),
        (("chargers",), {}, "chargers"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(path: tuple, value: object, place: str) -> None:
    content = copy.deepcopy(WORLD)
    holder = content
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    with pytest.raises(WorldInvalid) as refused:
        parse_world(content)
    assert refused.value.field == place
    assert refused.value.remedy


def test_a_missing_value_is_named() -> None:
    content = copy.deepcopy(WORLD)
    del content["cars"][0]["id_token"]
    with pytest.raises(WorldInvalid, match="missing") as refused:
        parse_world(content)
    assert refused.value.field == "cars[0].id_token"


def test_a_missing_or_broken_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(WorldInvalid, match="cannot be read"):
        load_world(tmp_path / "world.json")
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(WorldInvalid, match="not JSON"):
        load_world(tmp_path / "world.json")


def test_the_world_of_a_drawn_portfolio_can_be_played() -> None:
    portfolio = draw_portfolio(vehicles=80, hub=True, computers=20, seed=1, at_h=18.0, arrive_within_s=5.0)
    world = parse_world(json.loads(json.dumps(world_of(portfolio, meter_interval_s=2))))
    assert len(world.ocpp_chargers()) == 60
    assert len(world.mqtt_chargers()) == 20
    assert sum(len(inverter.packs) for inverter in world.inverters) == 148
    assert len(world.computers) == 20
    assert sum(car.max_discharge_kw > 0 for car in world.cars) >= 20


def test_two_way_cars_have_something_to_give_at_any_hour() -> None:
    for at_h in range(24):
        portfolio = draw_portfolio(vehicles=80, hub=False, computers=0, seed=1, at_h=at_h, arrive_within_s=5.0)
        two_way = [car for car in portfolio.cars if car.bidirectional]
        assert len(two_way) == 20
        assert all(car.soc_fraction >= car.floor_soc_fraction + 0.1 for car in two_way)


@pytest.mark.parametrize(("protocol", "token"), [("ocpp1.6", "T" * 21), ("ocpp2.1", "T" * 37), ("ocpp2.1", "")])
def test_a_token_that_the_protocol_has_no_room_for_is_named(protocol: str, token: str) -> None:
    content = copy.deepcopy(WORLD)
    content["chargers"][0]["protocol"] = protocol
    content["cars"][0]["id_token"] = token
    with pytest.raises(WorldInvalid) as refused:
        parse_world(content)
    assert refused.value.field == "cars[0].id_token"
