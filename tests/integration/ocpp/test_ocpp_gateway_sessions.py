"""Whole sessions in every version, with the PyPI `ocpp` package's classes and with frames written by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from fleet.models import Charger, ChargingSession, Connector, Reading
from tests.integration.ocpp.support import (
    Background,
    CallFailed,
    Place,
    RawStation,
    eventually,
    make_place,
    now,
    utc_text,
)

Connect = Callable[..., RawStation]


def sampled(value: float | str, measurand: str, unit: str, **more: Any) -> dict[str, Any]:
    return {"value": value, "measurand": measurand, **more} | (
        {"unit": unit} if isinstance(value, str) else {"unitOfMeasure": {"unit": unit}}
    )


def boot(background: Background, station: RawStation, protocol: str) -> dict[str, Any]:
    if protocol == "ocpp1.6":
        payload: dict[str, Any] = {"chargePointVendor": "Maker", "chargePointModel": "Post", "firmwareVersion": "1.0"}
    else:
        payload = {"reason": "PowerUp", "chargingStation": {"vendorName": "Maker", "model": "Post"}}
    return background.run(station.call("BootNotification", payload))


def event(place: Place, kind: str, sequence: int, transaction_id: str, **more: Any) -> dict[str, Any]:
    return {
        "eventType": kind,
        "timestamp": utc_text(more.pop("at", None) or now()),
        "triggerReason": more.pop("trigger", "MeterValuePeriodic"),
        "seqNo": sequence,
        "transactionInfo": {"transactionId": transaction_id, **more.pop("info", {})},
        "evse": {"id": 1, "connectorId": 1},
        **more,
    }


def meter(at: Any, import_wh: float, power_w: float, soc: float) -> list[dict[str, Any]]:
    return [
        {
            "timestamp": utc_text(at),
            "sampledValue": [
                sampled(import_wh, "Energy.Active.Import.Register", "Wh"),
                sampled(max(power_w, 0), "Power.Active.Import", "W"),
                sampled(max(-power_w, 0), "Power.Active.Export", "W"),
                sampled(soc, "SoC", "Percent"),
            ],
        }
    ]


def test_session_of_1_6(background: Background, connect: Connect) -> None:
    place = make_place("CP-16", "ocpp1.6")
    station = connect(place.identity, "ocpp1.6")
    assert boot(background, station, "ocpp1.6")["status"] == "Accepted"
    background.run(
        station.call(
            "StatusNotification",
            {"connectorId": 1, "errorCode": "NoError", "status": "Preparing", "timestamp": utc_text(now())},
        )
    )
    assert background.run(station.call("Authorize", {"idTag": place.id_token}))["idTagInfo"]["status"] == "Accepted"
    begun = now() - timedelta(seconds=30)
    started = background.run(
        station.call(
            "StartTransaction",
            {"connectorId": 1, "idTag": place.id_token, "meterStart": 1000, "timestamp": utc_text(begun)},
        )
    )
    session = ChargingSession.objects.get()
    assert started == {"transactionId": session.pk, "idTagInfo": {"status": "Accepted"}}
    assert (session.vehicle_id, session.started_at, session.meter_start_kwh) == (place.vehicle_id, begun, 1.0)
    assert session.target_soc_fraction == 0.9 and session.floor_soc_fraction == 0.2
    assert session.departure_at is not None and session.departure_at > begun
    measured = now() - timedelta(seconds=10)
    values = [
        sampled("1.5", "Energy.Active.Import.Register", "kWh"),
        sampled("2300", "Power.Active.Import", "W", phase="L1"),
        sampled("2300", "Power.Active.Import", "W", phase="L2"),
        sampled("55", "SoC", "Percent", location="EV"),
    ]
    report = {"timestamp": utc_text(measured), "sampledValue": values}
    background.run(station.call("MeterValues", {"connectorId": 1, "transactionId": session.pk, "meterValue": [report]}))
    reading = Reading.objects.get(asset_id=place.asset_id, measured_at=measured)
    assert (reading.import_kwh, reading.power_kw, reading.soc_fraction) == (1.5, pytest.approx(4.6), 0.55)
    session.refresh_from_db()
    assert session.arrival_soc_fraction == 0.55
    ended = now()
    background.run(
        station.call(
            "StopTransaction",
            {"transactionId": session.pk, "meterStop": 4000, "timestamp": utc_text(ended), "reason": "EVDisconnected"},
        )
    )
    session.refresh_from_db()
    assert (session.ended_at, session.meter_stop_kwh, session.stop_reason) == (ended, 4.0, "EVDisconnected")
    charger = Charger.objects.get()
    assert (charger.vendor, charger.model, charger.firmware_version) == ("Maker", "Post", "1.0")
    connector = Connector.objects.get()
    assert (connector.status, connector.detail) == ("Occupied", "Preparing")


@pytest.mark.parametrize("protocol", ["ocpp2.0.1", "ocpp2.1"])
def test_session_of_2_x(background: Background, connect: Connect, protocol: str) -> None:
    place = make_place("CP-2X", protocol)
    station = connect(place.identity, protocol)
    assert boot(background, station, protocol)["status"] == "Accepted"
    token = {"idToken": place.id_token, "type": "ISO14443"}
    begun = now() - timedelta(seconds=60)
    plugged = event(
        place, "Started", 0, "TX-1", at=begun, trigger="CablePluggedIn", meterValue=meter(begun, 1000, 0, 40)
    )
    assert background.run(station.call("TransactionEvent", plugged)) == {}
    session = ChargingSession.objects.get()
    assert (session.transaction_id, session.vehicle_id, session.meter_start_kwh) == ("TX-1", None, 1.0)
    shown = background.run(
        station.call("TransactionEvent", event(place, "Updated", 1, "TX-1", trigger="Authorized", idToken=token))
    )
    assert shown["idTokenInfo"]["status"] == "Accepted"
    measured = now()
    power_w = -7000 if protocol == "ocpp2.1" else 7000
    background.run(
        station.call(
            "TransactionEvent", event(place, "Updated", 2, "TX-1", meterValue=meter(measured, 1500, power_w, 41))
        )
    )
    session.refresh_from_db()
    assert (session.vehicle_id, session.last_sequence_number) == (place.vehicle_id, 2)
    reading = Reading.objects.get(asset_id=place.asset_id, measured_at=measured)
    assert (reading.power_kw, reading.import_kwh, reading.soc_fraction) == (power_w / 1000, 1.5, 0.41)
    ended = now()
    background.run(
        station.call(
            "TransactionEvent",
            event(
                place,
                "Ended",
                3,
                "TX-1",
                at=ended,
                trigger="EVDeparted",
                info={"stoppedReason": "EVDisconnected"},
                meterValue=meter(ended, 2500, 0, 42),
            ),
        )
    )
    session.refresh_from_db()
    assert (session.ended_at, session.meter_stop_kwh, session.stop_reason) == (ended, 2.5, "EVDisconnected")


def test_needs_of_a_bidirectional_car(background: Background, connect: Connect) -> None:
    place = make_place("CP-V2G", "ocpp2.1")
    station = connect(place.identity, "ocpp2.1")
    token = {"idToken": place.id_token, "type": "eMAID"}
    authorised = background.run(station.call("Authorize", {"idToken": token}))
    assert "AC_BPT" in authorised["allowedEnergyTransfer"]
    background.run(
        station.call("TransactionEvent", event(place, "Started", 0, "TX-9", trigger="EVDetected", idToken=token))
    )
    departure = now() + timedelta(hours=8)
    needs = {
        "evseId": 1,
        "chargingNeeds": {
            "requestedEnergyTransfer": "AC_BPT",
            "departureTime": utc_text(departure),
            "v2xChargingParameters": {
                "maxChargePower": 11000,
                "maxDischargePower": 10000,
                "evTargetEnergyRequest": 24000,
            },
        },
    }
    assert background.run(station.call("NotifyEVChargingNeeds", needs))["status"] == "Accepted"
    session = ChargingSession.objects.get()
    assert session.bidirectional
    assert (session.max_charge_kw, session.max_discharge_kw, session.energy_needed_kwh) == (11.0, 10.0, 24.0)
    assert session.departure_at == departure


def test_unknown_token_is_recorded_but_not_accepted(background: Background, connect: Connect) -> None:
    make_place("CP-16", "ocpp1.6")
    station = connect("CP-16", "ocpp1.6")
    assert background.run(station.call("Authorize", {"idTag": "STRANGER"}))["idTagInfo"]["status"] == "Invalid"
    started = background.run(
        station.call(
            "StartTransaction",
            {"connectorId": 1, "idTag": "STRANGER", "meterStart": 0, "timestamp": utc_text(now())},
        )
    )
    assert started["idTagInfo"]["status"] == "Invalid"
    assert ChargingSession.objects.get(pk=started["transactionId"]).vehicle_id is None


def test_start_repeated_gets_the_same_transaction(background: Background, connect: Connect) -> None:
    place = make_place("CP-16", "ocpp1.6")
    station = connect("CP-16", "ocpp1.6")
    start = {"connectorId": 1, "idTag": place.id_token, "meterStart": 5, "timestamp": utc_text(now())}
    first = background.run(station.call("StartTransaction", start))
    assert background.run(station.call("StartTransaction", start)) == first
    assert ChargingSession.objects.count() == 1


def test_events_repeated_and_out_of_order_make_one_session(background: Background, connect: Connect) -> None:
    place = make_place("CP-201", "ocpp2.0.1")
    station = connect("CP-201", "ocpp2.0.1")
    token = {"idToken": place.id_token, "type": "ISO14443"}
    begun, measured, ended = now() - timedelta(hours=3), now() - timedelta(hours=2), now() - timedelta(hours=1)
    start = event(
        place, "Started", 0, "TX-OFF", at=begun, idToken=token, offline=True, meterValue=meter(begun, 100, 0, 20)
    )
    update = event(place, "Updated", 1, "TX-OFF", at=measured, offline=True, meterValue=meter(measured, 900, 5000, 30))
    end = event(place, "Ended", 2, "TX-OFF", at=ended, offline=True, meterValue=meter(ended, 5100, 0, 40))
    for message in (update, end, start, start, update, end):
        background.run(station.call("TransactionEvent", message))
    session = ChargingSession.objects.get()
    assert (session.started_at, session.ended_at) == (begun, ended)
    assert (session.vehicle_id, session.meter_stop_kwh, session.last_sequence_number) == (place.vehicle_id, 5.1, 2)
    assert Reading.objects.filter(asset_id=place.asset_id).count() == 3


def test_stop_delivered_after_a_newer_session_has_begun(background: Background, connect: Connect) -> None:
    place = make_place("CP-16", "ocpp1.6")
    station = connect("CP-16", "ocpp1.6")
    begun, ended = now() - timedelta(hours=2), now() - timedelta(hours=1)
    old = background.run(
        station.call(
            "StartTransaction",
            {"connectorId": 1, "idTag": place.id_token, "meterStart": 0, "timestamp": utc_text(begun)},
        )
    )
    newer = background.run(
        station.call(
            "StartTransaction",
            {"connectorId": 1, "idTag": place.id_token, "meterStart": 3000, "timestamp": utc_text(now())},
        )
    )
    assert ChargingSession.objects.get(pk=old["transactionId"]).stop_reason == "Superseded"
    stop = {
        "transactionId": old["transactionId"],
        "meterStop": 3000,
        "timestamp": utc_text(ended),
        "reason": "PowerLoss",
    }
    for _ in range(2):
        background.run(station.call("StopTransaction", stop))
    replayed = ChargingSession.objects.get(pk=old["transactionId"])
    assert (replayed.ended_at, replayed.meter_stop_kwh, replayed.stop_reason) == (ended, 3.0, "PowerLoss")
    assert ChargingSession.objects.get(pk=newer["transactionId"]).ended_at is None


def test_stop_of_a_transaction_that_was_never_given_out_is_recorded(background: Background, connect: Connect) -> None:
    make_place("CP-16", "ocpp1.6")
    station = connect("CP-16", "ocpp1.6")
    ended = now() - timedelta(minutes=5)
    stop = {"transactionId": 4711, "meterStop": 9000, "timestamp": utc_text(ended)}
    for _ in range(2):
        assert background.run(station.call("StopTransaction", stop)) == {}
    session = ChargingSession.objects.get()
    assert (session.transaction_id, session.ended_at, session.meter_stop_kwh) == ("unknown:4711", ended, 9.0)


def test_car_that_turns_up_elsewhere_leaves_its_old_session(background: Background, connect: Connect) -> None:
    place = make_place("CP-A", "ocpp2.0.1")
    make_place("CP-B", "ocpp2.0.1")
    token = {"idToken": place.id_token, "type": "ISO14443"}
    for identity in ("CP-A", "CP-B"):
        station = connect(identity, "ocpp2.0.1")
        background.run(station.call("TransactionEvent", event(place, "Started", 0, f"TX-{identity}", idToken=token)))
    left = ChargingSession.objects.get(transaction_id="TX-CP-A")
    assert left.stop_reason == "Superseded" and left.ended_at is not None
    assert ChargingSession.objects.get(ended_at=None).transaction_id == "TX-CP-B"


def test_reading_from_the_future_is_refused_and_the_rest_kept(
    background: Background, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    place = make_place("CP-201", "ocpp2.0.1")
    station = connect("CP-201", "ocpp2.0.1")
    good, future = now(), now() + timedelta(days=1)
    for _ in range(2):
        values = meter(good, 1000, 100, 50) + meter(future, 1100, 100, 50)
        assert background.run(station.call("MeterValues", {"evseId": 1, "meterValue": values})) == {}
    assert list(Reading.objects.values_list("measured_at", flat=True)) == [good]
    complaints = [record for record in caplog.records if "in the future" in record.getMessage()]
    assert len(complaints) == 1 and "CP-201" in complaints[0].getMessage()
    assert place.asset_id == Reading.objects.get().asset_id


def test_transaction_at_an_evse_that_is_not_registered_is_an_error_by_name(
    background: Background, connect: Connect
) -> None:
    make_place("CP-201", "ocpp2.0.1")
    station = connect("CP-201", "ocpp2.0.1")
    place = Place("CP-201", "ocpp2.0.1", 0, 0, "")
    with pytest.raises(CallFailed) as refused:
        background.run(station.call("TransactionEvent", {**event(place, "Started", 0, "TX-1"), "evse": {"id": 7}}))
    assert refused.value.code == "PropertyConstraintViolation" and "evse" in refused.value.description
    assert not ChargingSession.objects.exists()


def test_station_is_connected_while_its_socket_is_open(background: Background, connect: Connect) -> None:
    place = make_place("CP-201", "ocpp2.0.1")
    station = connect("CP-201", "ocpp2.0.1")
    charger = Charger.objects.filter(identity=place.identity)
    eventually(lambda: charger.filter(gateway_identity="gateway-1", evses__asset__connected=True).exists())
    background.run(station.close())
    eventually(lambda: charger.filter(gateway_identity="", evses__asset__connected=False).exists())
