"""Commands reach the wire as each version can follow them, and what stations answer reaches the books."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from fleet.models import Asset, Charger, DeviceCommand, Vehicle
from fleet.operations.commands import PowerSchedule, queue_command, queue_schedules
from fleet.operations.consent import grant_consent
from fleet.operations.sessions import start_session, update_session
from fleet.queries.assets import fleet_snapshot
from tests.integration.ocpp.support import Background, Place, RawStation, eventually, make_place, now

Connect = Callable[..., RawStation]


def begin(place: Place, *, bidirectional: bool = False) -> str:
    """A car is there."""
    started = start_session(
        identity=place.identity,
        evse_number=1,
        transaction_id=None if place.protocol == "ocpp1.6" else "TX-1",
        id_token=place.id_token,
        started_at=now(),
        meter_start_kwh=0.0,
        now=now(),
    )
    update_session(
        identity=place.identity,
        transaction_id=started.transaction_id,
        sequence_number=0,
        bidirectional=bidirectional,
        now=now(),
    )
    return started.transaction_id


def order(place: Place, *power_kw: float, step_s: float = 900) -> tuple[Any, Any]:
    """Queue a schedule; its start and its end."""
    starts_at = now()
    valid_until = starts_at + timedelta(seconds=step_s * len(power_kw))
    offsets = tuple(step_s * index for index in range(len(power_kw)))
    queue_schedules(
        schedules=[PowerSchedule(place.asset_id, starts_at, offsets, power_kw, valid_until)],
        now=starts_at,
    )
    return starts_at, valid_until


def accept(station: RawStation, action: str = "SetChargingProfile") -> None:
    station.answers[action] = lambda payload: {"status": "Accepted"}


def command_of(place: Place) -> DeviceCommand:
    return DeviceCommand.objects.filter(asset_id=place.asset_id).latest("sequence")


def test_schedule_for_1_6_is_a_one_way_limit(background: Background, connect: Connect) -> None:
    place = make_place("CP-16", "ocpp1.6", fail_safe_kw=4.2)
    transaction_id = begin(place)
    station = connect(place.identity, "ocpp1.6")
    accept(station)
    _, valid_until = order(place, 11.0, 2.0, -5.0)
    request = background.run(station.next_call("SetChargingProfile"))
    profile = request["csChargingProfiles"]
    assert request["connectorId"] == 1
    assert profile["transactionId"] == int(transaction_id)
    assert (profile["chargingProfilePurpose"], profile["chargingProfileKind"]) == ("TxProfile", "Absolute")
    assert profile["validTo"] == valid_until.strftime("%Y-%m-%dT%H:%M:%SZ")
    schedule = profile["chargingSchedule"]
    assert schedule["chargingRateUnit"] == "W"
    # 2 kW is below 6 A on three phases, and 1.6 cannot discharge: both are a pause; then the fail-safe power
    limits = [(period["startPeriod"], period["limit"]) for period in schedule["chargingSchedulePeriod"]]
    assert [limit for _, limit in limits] == [11000.0, 0.0, 4200.0]
    assert limits[1][0] in (900, 901) and limits[2][0] in (2700, 2701)
    confirmed = eventually(lambda: DeviceCommand.objects.filter(state="confirmed").first())
    assert confirmed.answer == {"status": "Accepted"}
    assert confirmed.queued_at <= confirmed.sent_at <= confirmed.answered_at


def test_schedule_for_2_0_1_names_the_transaction(background: Background, connect: Connect) -> None:
    place = make_place("CP-201", "ocpp2.0.1")
    begin(place)
    station = connect(place.identity, "ocpp2.0.1")
    accept(station)
    order(place, 7.4, 11.0)
    request = background.run(station.next_call("SetChargingProfile"))
    profile = request["chargingProfile"]
    assert (request["evseId"], profile["transactionId"], profile["chargingProfilePurpose"]) == (1, "TX-1", "TxProfile")
    periods = profile["chargingSchedule"][0]["chargingSchedulePeriod"]
    assert [period["limit"] for period in periods] == [7400.0, 11000.0, 0.0]
    eventually(lambda: command_of(place).state == "confirmed")


def test_negative_set_point_reaches_a_bidirectional_2_1_station(background: Background, connect: Connect) -> None:
    place = make_place("CP-21", "ocpp2.1")
    begin(place, bidirectional=True)
    station = connect(place.identity, "ocpp2.1")
    accept(station)
    order(place, -8.5, 3.0)
    profile = background.run(station.next_call("SetChargingProfile"))["chargingProfile"]
    assert profile["chargingProfileKind"] == "Absolute"
    periods = profile["chargingSchedule"][0]["chargingSchedulePeriod"]
    assert [period.get("setpoint") for period in periods] == [-8500.0, 0.0, None]
    assert periods[0]["operationMode"] == "CentralSetpoint"
    assert (periods[0]["limit"], periods[0]["dischargeLimit"]) == (11000.0, -10000.0)
    assert (periods[2]["operationMode"], periods[2]["limit"]) == ("ChargingOnly", 0.0)
    eventually(lambda: command_of(place).state == "confirmed")


def test_single_set_point_is_a_dynamic_profile(background: Background, connect: Connect) -> None:
    place = make_place("CP-21", "ocpp2.1")
    begin(place, bidirectional=True)
    station = connect(place.identity, "ocpp2.1")
    # this station takes only Absolute profiles, which the gateway finds out and remembers
    station.answers["SetChargingProfile"] = lambda payload: {
        "status": "Rejected" if payload["chargingProfile"]["chargingProfileKind"] == "Dynamic" else "Accepted"
    }
    order(place, -4.0)
    dynamic = background.run(station.next_call("SetChargingProfile"))["chargingProfile"]
    assert dynamic["chargingProfileKind"] == "Dynamic" and "validTo" in dynamic
    assert dynamic["chargingSchedule"][0]["chargingSchedulePeriod"][0]["setpoint"] == -4000.0
    absolute = background.run(station.next_call("SetChargingProfile", 1))["chargingProfile"]
    assert absolute["chargingProfileKind"] == "Absolute"
    eventually(lambda: command_of(place).state == "confirmed")
    eventually(lambda: Charger.objects.get(identity="CP-21").capabilities.get("dynamic") is False)


def test_station_without_a_transaction_gets_a_default_profile(background: Background, connect: Connect) -> None:
    place = make_place("CP-201", "ocpp2.0.1")
    station = connect(place.identity, "ocpp2.0.1")
    accept(station)
    order(place, 5.0)
    profile = background.run(station.next_call("SetChargingProfile"))["chargingProfile"]
    assert profile["chargingProfilePurpose"] == "TxDefaultProfile" and "transactionId" not in profile


def test_station_that_knows_only_amperes_is_told_amperes(background: Background, connect: Connect) -> None:
    place = make_place("CP-16", "ocpp1.6")
    begin(place)
    station = connect(place.identity, "ocpp1.6")
    station.answers["SetChargingProfile"] = lambda payload: {
        "status": "Accepted"
        if payload["csChargingProfiles"]["chargingSchedule"]["chargingRateUnit"] == "A"
        else "Rejected"
    }
    order(place, 6.9)
    profile = background.run(station.next_call("SetChargingProfile", 1))["csChargingProfiles"]
    assert profile["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] == 10.0
    eventually(lambda: command_of(place).state == "confirmed")
    eventually(lambda: Charger.objects.get(identity="CP-16").capabilities.get("rate_unit") == "A")


def test_refusal_and_silence_are_told_apart(background: Background, connect: Connect) -> None:
    place = make_place("CP-201", "ocpp2.0.1")
    station = connect(place.identity, "ocpp2.0.1")
    order(place, 5.0)
    refused = eventually(lambda: DeviceCommand.objects.filter(state="refused").first())
    assert "NotImplemented" in refused.answer["reason"]
    station.answers["SetChargingProfile"] = lambda payload: None
    order(place, 6.0)
    background.run(station.next_call("SetChargingProfile", 2))
    assert command_of(place).state == "sent"


@pytest.mark.parametrize("protocol", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def test_boot_is_followed_by_a_probe_and_the_fall_back(background: Background, connect: Connect, protocol: str) -> None:
    place = make_place("CP-BOOT", protocol, fail_safe_kw=4.2)
    station = connect(place.identity, protocol)
    accept(station)
    if protocol == "ocpp1.6":
        station.answers["GetConfiguration"] = lambda payload: {
            "configurationKey": [{"key": "ChargingScheduleMaxPeriods", "readonly": True, "value": "6"}]
        }
        boot = {"chargePointVendor": "Maker", "chargePointModel": "Post"}
    else:
        station.answers["GetVariables"] = lambda payload: {
            "getVariableResult": [
                {**item, "attributeStatus": "Accepted", "attributeValue": "6"}
                if item["variable"]["name"] == "PeriodsPerSchedule"
                else {**item, "attributeStatus": "UnknownVariable"}
                for item in payload["getVariableData"]
            ]
        }
        boot = {"reason": "PowerUp", "chargingStation": {"vendorName": "Maker", "model": "Post"}}
    background.run(station.call("BootNotification", boot))
    request = background.run(station.next_call("SetChargingProfile"))
    profile = request.get("csChargingProfiles") or request["chargingProfile"]
    assert (profile["stackLevel"], profile["chargingProfilePurpose"]) == (0, "TxDefaultProfile")
    assert "4200.0" in str(profile["chargingSchedule"])
    eventually(lambda: Charger.objects.get().capabilities.get("fallback_kw") == {"1": 4.2})
    assert Charger.objects.get().capabilities["max_periods"] == 6


@pytest.mark.parametrize(
    ("protocol", "kind", "parameters", "action", "expected"),
    [
        ("ocpp1.6", "remote_start", {"id_token": "TAG"}, "RemoteStartTransaction", {"connectorId": 1, "idTag": "TAG"}),
        ("ocpp1.6", "remote_stop", {"transaction_id": "77"}, "RemoteStopTransaction", {"transactionId": 77}),
        ("ocpp1.6", "reset", {"type": "hard"}, "Reset", {"type": "Hard"}),
        ("ocpp2.0.1", "remote_stop", {"transaction_id": "TX"}, "RequestStopTransaction", {"transactionId": "TX"}),
        ("ocpp2.0.1", "reset", {}, "Reset", {"type": "OnIdle"}),
        (
            "ocpp2.1",
            "trigger",
            {"message": "MeterValues"},
            "TriggerMessage",
            {"requestedMessage": "MeterValues", "evse": {"id": 1}},
        ),
        ("ocpp2.1", "composite_schedule", {"duration_s": 600}, "GetCompositeSchedule", {"duration": 600, "evseId": 1}),
    ],
)
def test_other_commands(
    background: Background,
    connect: Connect,
    protocol: str,
    kind: str,
    parameters: dict[str, Any],
    action: str,
    expected: dict[str, Any],
) -> None:
    place = make_place("CP-1", protocol)
    station = connect(place.identity, protocol)
    accept(station, action)
    queue_command(
        asset_id=place.asset_id,
        kind=kind,
        parameters=parameters,
        now=now(),
        valid_until=now() + timedelta(minutes=1),
    )
    assert background.run(station.next_call(action)) == expected
    eventually(lambda: command_of(place).state == "confirmed")


def test_remote_stop_without_a_transaction_is_refused_with_the_reason(background: Background, connect: Connect) -> None:
    place = make_place("CP-1", "ocpp2.0.1")
    connect(place.identity, "ocpp2.0.1")
    queue_command(
        asset_id=place.asset_id,
        kind="remote_stop",
        parameters={},
        now=now(),
        valid_until=now() + timedelta(minutes=1),
    )
    refused = eventually(lambda: DeviceCommand.objects.filter(state="refused").first())
    assert "no open transaction" in refused.answer["reason"]


def test_schedule_that_begins_later_does_not_interrupt_what_holds(background: Background, connect: Connect) -> None:
    place = make_place("CP-201", "ocpp2.0.1")
    begin(place)
    station = connect(place.identity, "ocpp2.0.1")
    accept(station)
    order(place, 11.0)
    eventually(lambda: command_of(place).state == "confirmed")
    starts_at = now() + timedelta(seconds=120)
    later = PowerSchedule(place.asset_id, starts_at, (0.0,), (6.0,), starts_at + timedelta(seconds=300))
    queue_schedules(schedules=[later], now=now())
    profile = background.run(station.next_call("SetChargingProfile", 1))["chargingProfile"]
    periods = profile["chargingSchedule"][0]["chargingSchedulePeriod"]
    assert [period["limit"] for period in periods] == [11000.0, 6000.0, 0.0]
    assert 115 <= periods[1]["startPeriod"] <= 121


def test_profile_from_before_the_transaction_is_taken_back(background: Background, connect: Connect) -> None:
    place = make_place("CP-201", "ocpp2.0.1")
    station = connect(place.identity, "ocpp2.0.1")
    accept(station)
    accept(station, "ClearChargingProfile")
    order(place, 5.0)
    before = background.run(station.next_call("SetChargingProfile"))["chargingProfile"]
    eventually(lambda: command_of(place).state == "confirmed")
    begin(place)
    order(place, 6.0)
    cleared = background.run(station.next_call("ClearChargingProfile"))
    assert cleared == {"chargingProfileId": before["id"]}


def test_only_the_newest_of_several_schedules_in_the_queue_is_sent(background: Background, connect: Connect) -> None:
    place = make_place("CP-201", "ocpp2.0.1")
    station = connect(place.identity, "ocpp2.0.1")
    # the first call is never answered, so that the others wait behind it until it is given up
    station.answers["SetChargingProfile"] = lambda payload: None
    order(place, 5.0)
    background.run(station.next_call("SetChargingProfile"))
    accept(station)
    for power_kw in (6.0, 7.0, 8.0):
        order(place, power_kw)
        eventually(lambda: command_of(place).state == "sent")
    eventually(lambda: command_of(place).state == "confirmed")
    sent = [payload["chargingProfile"] for action, payload in station.calls if action == "SetChargingProfile"]
    # the fall-back profile, of stack level 0, is sent besides to a station that does not boot
    limits = [
        profile["chargingSchedule"][0]["chargingSchedulePeriod"][0]["limit"]
        for profile in sent
        if profile["stackLevel"] == 1
    ]
    assert limits == [5000.0, 8000.0]


def test_a_station_without_smart_charging_is_remembered_and_asked_again_after_a_boot(
    background: Background, connect: Connect
) -> None:
    place = make_place("CP-201", "ocpp2.0.1")
    begin(place)
    station = connect(place.identity, "ocpp2.0.1")
    order(place, 5.0)
    known = Charger.objects.filter(identity=place.identity)
    eventually(lambda: known.get().capabilities.get("smart_charging") is False)
    region_id = Asset.objects.get(pk=place.asset_id).site.grid_node.region_id
    owner_id = Vehicle.objects.get(pk=place.vehicle_id).owner_id
    grant_consent(owner_id=owner_id, vehicle_id=place.vehicle_id, service="flexibility", now=now())
    (left_out,) = fleet_snapshot(region_id=region_id, now=now()).assets
    assert left_out.left_out_because == "uncontrollable"
    accept(station)
    boot = {"reason": "FirmwareUpdate", "chargingStation": {"vendorName": "Maker", "model": "Post"}}
    background.run(station.call("BootNotification", boot))
    eventually(lambda: known.get().capabilities.get("smart_charging") is True)


def test_what_a_station_composes_is_asked_once_and_not_of_one_that_cannot(
    background: Background, connect: Connect
) -> None:
    place = make_place("CP-16", "ocpp1.6")
    begin(place)
    station = connect(place.identity, "ocpp1.6")
    accept(station)
    for power_kw in (5.0, 6.0, 7.0):
        order(place, power_kw)
        eventually(lambda: command_of(place).state == "confirmed")
    eventually(lambda: Charger.objects.get(identity=place.identity).capabilities.get("composite") is False)
    assert [action for action, _ in station.calls].count("GetCompositeSchedule") == 1
