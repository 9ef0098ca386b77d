"""Register profiles: the one that ships is read as written; what is wrong in one is named by file and field."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.devices.modbus.profile import PROFILES, InvalidProfile, Register, load_profile, parse_profile, read_profile

SHIPPED = tomllib.loads((PROFILES / "victron-ess.toml").read_text())


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.toml")), ids=lambda path: path.name)
def test_every_shipped_profile_is_valid_and_names_its_source(path: Path) -> None:
    profile = read_profile(path)
    assert profile.source
    assert "soc" in profile.measurements


def test_signs_and_units_are_turned_at_the_wire() -> None:
    profile = load_profile("victron-ess")
    assert profile.measurements["power"].read([0x10000 - 75]) == pytest.approx(-0.75)
    assert profile.measurements["soc"].read([605]) == pytest.approx(0.605)
    assert profile.measurements["soc"].read([0xFFFF]) is None
    assert profile.writes[0].registers(-2.5, 60) == [0x10000 - 2500]


@given(st.integers(-(2**31), 2**31 - 1), st.sampled_from(["big", "little"]))
def test_two_registers_come_back_in_either_order_of_words(value: int, order: str) -> None:
    register = Register(5, "holding", "int32", order, 1.0, None)
    assert register.decode(register.encode(value)) == value


def spoilt(path: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(SHIPPED)
    *steps, last = path.split(".")
    holder: Any = content
    for step in steps:
        holder = holder[int(step)] if isinstance(holder, list) else holder[step]
    if value is None:
        del holder[last]
    else:
        holder[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("measurements.power.type", "int17", "measurements.power.type is 'int17'"),
        ("measurements.power.register", 70_000, "measurements.power.register is '70000'"),
        ("measurements.power.positive", None, "measurements.power.positive is missing"),
        ("measurements.soc.unit", "W", "measurements.soc.unit is 'W'"),
        ("measurements.soc.factr", 2, "measurements.soc.factr is not known"),
        ("measurements.power", None, "measurements.power is missing"),
        ("measurements.volume", {}, "measurements.volume is not known"),
        ("setpoint.writes.0.quantity", "watts", "setpoint.writes[0].quantity is 'watts'"),
        ("setpoint.writes.0.table", "input", "setpoint.writes[0].table is 'input'"),
        ("setpoint.writes.0.factor", 0, "setpoint.writes[0].factor is '0'"),
        ("fail_safe", None, "fail_safe is missing"),
        ("fail_safe.after_s", 1, "fail_safe.after_s is 1"),
        ("fail_safe.kind", "timer", "no write has the quantity 'hold'"),
        ("profile.source", " ", "profile.source is"),
        ("identify.0.one_of", ["x"], "identify[0].one_of is"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_field(path: str, value: Any, named: str) -> None:
    with pytest.raises(InvalidProfile) as caught:
        parse_profile(spoilt(path, value), file="mine.toml", name="mine")
    assert str(caught.value).startswith("mine.toml")
    assert named in str(caught.value)
    assert caught.value.remedy


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[profile\n")
    with pytest.raises(InvalidProfile, match=r"bad\.toml"):
        load_profile("bad", folders=(tmp_path,))


def test_an_installations_own_profile_goes_before_the_shipped_one(tmp_path: Path) -> None:
    text = (PROFILES / "victron-ess.toml").read_text().replace("Victron Energy", "Somebody")
    (tmp_path / "victron-ess.toml").write_text(text)
    assert load_profile("victron-ess", folders=(tmp_path, PROFILES)).vendor == "Somebody"


def test_a_direction_in_words_and_a_magnitude() -> None:
    content = copy.deepcopy(SHIPPED)
    content["setpoint"]["writes"] = [
        {"register": 1, "type": "uint16", "quantity": "constant", "value": 2},
        {
            "register": 2,
            "type": "uint16",
            "quantity": "direction",
            "values": {"charge": 0xAA, "discharge": 0xBB, "idle": 0xCC},
        },
        {"register": 3, "type": "uint16", "quantity": "magnitude", "unit": "W"},
        {"register": 4, "type": "uint16", "quantity": "hold"},
    ]
    content["fail_safe"] = {"kind": "timer", "after_s": 120}
    profile = parse_profile(content, file="a.toml", name="a")
    assert [write.registers(-3.0, 59.2) for write in profile.writes] == [[2], [0xBB], [3000], [60]]
    assert profile.writes[1].registers(0.0, 60) == [0xCC]
