"""What meters have signed, and measurands that readings have no field for, are kept as stations tell them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from fleet.devices.ocpp import measurands
from fleet.models import LatestMeasurand, Reading, SignedMeterValue
from tests.integration.ocpp.support import Background, Place, RawStation, make_place, now, utc_text

Connect = Callable[..., RawStation]
SIGNED = {
    "signedMeterData": "T0NNRg==",
    "signingMethod": "ECDSA-secp256r1",
    "encodingMethod": "OCMF",
    "publicKey": "MFk=",
}


def event(place: Place, *samples: dict[str, Any], number: int = 0, kind: str = "Started") -> dict[str, Any]:
    return {
        "eventType": kind,
        "timestamp": utc_text(now()),
        "triggerReason": "Authorized",
        "seqNo": number,
        "transactionInfo": {"transactionId": "TX-1"},
        "evse": {"id": 1},
        "meterValue": [{"timestamp": utc_text(now()), "sampledValue": list(samples)}],
        **({"idToken": {"idToken": place.id_token, "type": "ISO14443"}} if kind == "Started" else {}),
    }


@pytest.mark.parametrize("protocol", ["ocpp2.0.1", "ocpp2.1"])
def test_signed_values_are_kept_as_they_came_and_once(background: Background, connect: Connect, protocol: str) -> None:
    place = make_place("CP-SIGNED", protocol)
    station = connect(place.identity, protocol)
    signed = SIGNED if protocol == "ocpp2.1" else {**SIGNED}
    message = event(place, {"value": 1500, "context": "Transaction.Begin", "signedMeterValue": signed})
    background.run(station.call("TransactionEvent", message))
    background.run(station.call("TransactionEvent", message))
    kept = SignedMeterValue.objects.get()
    assert (kept.transaction_id, kept.context, kept.signed_data) == ("TX-1", "Transaction.Begin", "T0NNRg==")
    assert (kept.signing_method, kept.encoding_method, kept.public_key) == ("ECDSA-secp256r1", "OCMF", "MFk=")
    assert kept.measurand == "Energy.Active.Import.Register"
    # the plain value beside it is a reading as ever
    assert Reading.objects.get().import_kwh == 1.5


def test_1_6_signs_in_the_place_of_the_value(background: Background, connect: Connect) -> None:
    place = make_place("CP-SIGNED", "ocpp1.6")
    station = connect(place.identity, "ocpp1.6")
    sample = {"value": "OCMF|{}|{}", "format": "SignedData", "context": "Transaction.End"}
    values = [{"timestamp": utc_text(now()), "sampledValue": [sample]}]
    background.run(station.call("MeterValues", {"connectorId": 1, "transactionId": 7, "meterValue": values}))
    assert SignedMeterValue.objects.get().signed_data == "OCMF|{}|{}"
    assert SignedMeterValue.objects.get().transaction_id == "7"
    assert not Reading.objects.exists()


def test_measurands_of_2_1_are_kept_with_their_place_and_newest(
    background: Background, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurands, "KEEP_EVERY", timedelta(0))
    place = make_place("CP-21", "ocpp2.1")
    station = connect(place.identity, "ocpp2.1")
    told = [
        {"value": 49.98, "measurand": "Frequency", "location": "Outlet"},
        {"value": 9.5, "measurand": "Power.Export.Offered", "unitOfMeasure": {"unit": "W", "multiplier": 3}},
        {"value": 61, "measurand": "Display.PresentSOC", "location": "EV"},
        {"value": 231, "measurand": "Voltage.Maximum", "phase": "L1"},
    ]
    background.run(station.call("TransactionEvent", event(place, *told)))
    frequency = LatestMeasurand.objects.get(measurand="Frequency")
    assert (frequency.value, frequency.location) == (49.98, "Outlet")
    offered = LatestMeasurand.objects.get(measurand="Power.Export.Offered")
    assert (offered.value, offered.unit) == (9500.0, "W")
    assert LatestMeasurand.objects.get(measurand="Voltage.Maximum").phase == "L1"
    # what the car shows its driver stands in for a state of charge
    assert Reading.objects.get().soc_fraction == 0.61
    again = event(place, {"value": 50.02, "measurand": "Frequency", "location": "Outlet"}, number=1, kind="Updated")
    background.run(station.call("TransactionEvent", again))
    frequency.refresh_from_db()
    assert frequency.value == 50.02 and LatestMeasurand.objects.count() == 3
