"""Schedules become profiles that the schemas of every version allow and that say what was meant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.core.local_control import LocalControl, V2XMode
from fleet.devices.ocpp.profiles import (
    ProfileTerms,
    charging_profile,
    fallback_profile,
    schedule_segments,
    settable_kw,
)
from fleet.devices.ocpp.schemas import check_outgoing
from fleet.devices.ocpp.wire import V16, V21, V201

NOON = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
TERMS = ProfileTerms(
    version=V201,
    evse_number=1,
    transaction_id="TX",
    phases=3,
    max_charge_kw=11.0,
    max_discharge_kw=10.0,
    min_charge_kw=4.14,
    fail_safe_kw=0.0,
    bidirectional=False,
)
SIGNED = replace(TERMS, version=V21, bidirectional=True)


def segments(power_kw: list[float], offset_s: list[float], *, now: datetime = NOON, **more: Any) -> Any:
    terms = more.pop("terms", TERMS)
    return schedule_segments(
        starts_at=more.pop("starts_at", NOON),
        offset_s=offset_s,
        power_kw=power_kw,
        valid_until=more.pop("valid_until", NOON + timedelta(hours=1)),
        now=now,
        terms=terms,
        **more,
    )


@pytest.mark.parametrize(
    ("power_kw", "terms", "expected"),
    [
        (20.0, TERMS, 11.0),
        (4.0, TERMS, 0.0),
        (4.14, TERMS, 4.14),
        (-5.0, TERMS, 0.0),
        (-5.0, SIGNED, -5.0),
        (-50.0, SIGNED, -10.0),
        # a car that has not agreed to discharge is not asked to
        (-5.0, replace(SIGNED, bidirectional=False), 0.0),
        (-5.0, replace(TERMS, bidirectional=True), 0.0),
    ],
)
def test_settable_power(power_kw: float, terms: ProfileTerms, expected: float) -> None:
    assert settable_kw(power_kw, terms) == expected


def test_fail_safe_power_follows_the_end() -> None:
    start, found = segments([11.0, 5.0], [0, 900], terms=replace(TERMS, fail_safe_kw=4.2))
    assert (start, found) == (NOON, [(0, 11.0), (900, 5.0), (3600, 4.2)])


def test_equal_neighbours_are_one() -> None:
    assert segments([5.0, 5.0, 5.0], [0, 900, 1800])[1] == [(0, 5.0), (3600, 0.0)]


def test_what_is_over_is_left_out() -> None:
    start, found = segments([5.0, 6.0, 7.0], [0, 600, 1200], now=NOON + timedelta(seconds=700))
    assert start == NOON + timedelta(seconds=600)
    assert found == [(0, 6.0), (600, 7.0), (3000, 0.0)]


def test_entries_beyond_the_end_are_left_out() -> None:
    assert segments([5.0, 6.0], [0, 7200])[1] == [(0, 5.0), (3600, 0.0)]


def test_what_was_told_holds_until_a_later_schedule_begins() -> None:
    now = NOON - timedelta(seconds=60)
    start, found = segments([11.0], [0], now=now, held_kw=7.0)
    assert (start, found) == (now, [(0, 7.0), (60, 11.0), (3660, 0.0)])
    start, found = segments([11.0], [0], now=now)
    assert (start, found) == (NOON, [(0, 11.0), (3600, 0.0)])


def test_fractions_of_a_second_are_rounded_on_the_schedule_not_added_up() -> None:
    late = NOON + timedelta(milliseconds=600)
    start, found = segments([5.0, 6.0], [0, 10.2], starts_at=late, valid_until=late + timedelta(seconds=30), now=late)
    assert (start, found) == (NOON, [(0, 5.0), (11, 6.0), (31, 0.0)])


def test_periods_are_joined_where_it_matters_least_and_energy_is_kept() -> None:
    terms = replace(TERMS, max_periods=4, min_charge_kw=0.0)
    found = segments([11.0, 5.0, 5.2, 0.0], [0, 900, 1800, 2700], terms=terms)[1]
    assert found == [(0, 11.0), (900, pytest.approx(5.1)), (2700, 0.0), (3600, 0.0)]


@given(
    power_kw=st.lists(st.floats(-30, 30), min_size=1, max_size=60),
    step_s=st.floats(0.4, 2000),
    version=st.sampled_from([V16, V201, V21]),
    bidirectional=st.booleans(),
    unit=st.sampled_from(["W", "A"]),
    max_periods=st.integers(2, 30),
    transaction_id=st.sampled_from(["", "17", "TX-9"]),
    lag_s=st.floats(-3000, 3000),
    phases=st.sampled_from([1, 3]),
)
@settings(deadline=None, max_examples=300)
def test_every_profile_follows_the_schema_and_its_bounds(
    power_kw: list[float],
    step_s: float,
    version: str,
    bidirectional: bool,
    unit: str,
    max_periods: int,
    transaction_id: str,
    lag_s: float,
    phases: int,
) -> None:
    terms = replace(
        TERMS,
        version=version,
        bidirectional=bidirectional,
        rate_unit=unit,
        max_periods=max_periods,
        transaction_id=transaction_id,
        phases=phases,
    )
    payload = charging_profile(
        starts_at=NOON,
        offset_s=[step_s * index for index in range(len(power_kw))],
        power_kw=power_kw,
        valid_until=NOON + timedelta(seconds=max(2.0, step_s * len(power_kw))),
        now=NOON + timedelta(seconds=lag_s),
        terms=terms,
        held_kw=3.0,
    )
    check_outgoing("SetChargingProfile", version, payload)
    profile = payload.get("csChargingProfiles") or payload["chargingProfile"]
    schedule = profile["chargingSchedule"] if version == V16 else profile["chargingSchedule"][0]
    periods = schedule["chargingSchedulePeriod"]
    assert len(periods) <= max_periods
    starts = [period["startPeriod"] for period in periods]
    assert starts[0] == 0 and starts == sorted(set(starts))
    most = 11_000 if schedule["chargingRateUnit"] == "W" else 11_000 / 230 / phases
    for period in periods:
        assert 0 <= period["limit"] <= most + 0.05
        assert -10_000 <= period.get("setpoint", 0) <= 11_000
    assert terms.signed == any("setpoint" in period for period in periods)
    if profile["chargingProfileKind"] == "Dynamic":
        assert "startSchedule" not in schedule
    else:
        assert periods[-1]["limit"] == 0.0 and "setpoint" not in periods[-1]


@pytest.mark.parametrize("version", [V16, V201, V21])
def test_fall_back_is_the_lowest_default_profile(version: str) -> None:
    payload = fallback_profile(replace(TERMS, version=version, fail_safe_kw=6.9, rate_unit="A"))
    check_outgoing("SetChargingProfile", version, payload)
    profile = payload.get("csChargingProfiles") or payload["chargingProfile"]
    assert (profile["stackLevel"], profile["chargingProfilePurpose"]) == (0, "TxDefaultProfile")
    assert "validTo" not in profile and "transactionId" not in profile
    schedule = profile["chargingSchedule"] if version == V16 else profile["chargingSchedule"][0]
    assert schedule["chargingSchedulePeriod"][0]["limit"] == 10.0


def test_fall_back_never_discharges() -> None:
    payload = fallback_profile(replace(SIGNED, fail_safe_kw=-5.0))
    assert payload["chargingProfile"]["chargingSchedule"][0]["chargingSchedulePeriod"][0]["limit"] == 0.0


def local_period(mode: V2XMode, **curves: Any) -> dict[str, Any]:
    """The first period for half an hour at -4 kW in a mode."""
    payload = charging_profile(
        starts_at=NOON,
        offset_s=[0.0],
        power_kw=[-4.0],
        valid_until=NOON + timedelta(minutes=30),
        now=NOON,
        terms=replace(SIGNED, control=LocalControl(mode, **curves)),
    )
    check_outgoing("SetChargingProfile", V21, payload)
    return payload["chargingProfile"]["chargingSchedule"][0]["chargingSchedulePeriod"][0]


def test_every_mode_has_the_fields_that_2_1_gives_it() -> None:
    droop = ((49.8, -8.0), (50.2, 8.0))
    limits = {"limit": 11000.0, "dischargeLimit": -10000.0}
    assert local_period(V2XMode.CENTRAL_FREQUENCY) == {
        "startPeriod": 0,
        "operationMode": "CentralFrequency",
        "setpoint": -4000.0,
        **limits,
    }
    assert local_period(V2XMode.LOCAL_FREQUENCY, frequency_watt=droop) == {
        "startPeriod": 0,
        "operationMode": "LocalFrequency",
        "v2xBaseline": -4000.0,
        "v2xFreqWattCurve": [{"frequency": 49.8, "power": -8000.0}, {"frequency": 50.2, "power": 8000.0}],
    }
    assert local_period(V2XMode.EXTERNAL_SETPOINT) == {
        "startPeriod": 0,
        "operationMode": "ExternalSetpoint",
        **limits,
    }
    for mode in (V2XMode.IDLE, V2XMode.LOCAL_LOAD_BALANCING):
        assert local_period(mode) == {"startPeriod": 0, "operationMode": str(mode)}


def one_hour(terms: ProfileTerms, *power_kw: float) -> dict[str, Any]:
    step_s = 3600 / len(power_kw)
    payload = charging_profile(
        starts_at=NOON,
        offset_s=[step_s * number for number in range(len(power_kw))],
        power_kw=power_kw,
        valid_until=NOON + timedelta(hours=1),
        now=NOON,
        terms=terms,
    )
    check_outgoing("SetChargingProfile", terms.version, payload)
    return payload["chargingProfile"]


def test_a_profile_ends_offline_where_the_station_can_do_that() -> None:
    able = replace(SIGNED, max_offline_s=900, pulls=True)
    lone, stepped = one_hour(able, -4.0), one_hour(able, -4.0, 5.0)
    assert (lone["chargingProfileKind"], lone["maxOfflineDuration"], lone["invalidAfterOfflineDuration"]) == (
        "Dynamic",
        900,
        True,
    )
    assert lone["dynUpdateInterval"] == 60
    assert (stepped["chargingProfileKind"], stepped["invalidAfterOfflineDuration"]) == ("Absolute", False)
    assert "dynUpdateInterval" not in stepped
    assert "maxOfflineDuration" not in one_hour(SIGNED, -4.0)


def test_a_station_whose_modes_lack_setpoints_is_given_limits() -> None:
    limited = one_hour(replace(SIGNED, modes=frozenset({"ChargingOnly", "Idle"})), -4.0, 5.0)
    periods = limited["chargingSchedule"][0]["chargingSchedulePeriod"]
    assert [period["limit"] for period in periods] == [0.0, 5000.0, 0.0]


def test_a_station_with_one_stack_level_and_numbers_of_its_own() -> None:
    terms = replace(TERMS, transaction_id="", max_stack_level=0, first_id=5000)
    commanded, fallback = one_hour(terms, 8.0), fallback_profile(terms)["chargingProfile"]
    # it takes the fall-back's place, and therefore must not end before its last, safe period
    assert commanded["id"] == fallback["id"] > 5000
    assert commanded["stackLevel"] == 0 and "validTo" not in commanded
    assert commanded["chargingSchedule"][0]["chargingSchedulePeriod"][-1]["limit"] == 0.0
