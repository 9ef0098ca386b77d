"""docs/asyncapi.yaml and the program say the same: what the one allows the other takes, and what goes over the wire is
what the document describes."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fleet.devices.mqtt.messages import _PARSERS, ROOT, MalformedMessage, parse_up
from fleet.models import Asset, Charger, ChargingSession, CommandState, DeviceCommand
from fleet.operations.commands import PowerSchedule, queue_command, queue_schedules
from fleet.operations.firmware import offer_firmware, sign_firmware, store_firmware
from fleet.twin.mqtt.firmware import FirmwareUpdate
from fleet.twin.mqtt.station import MqttStation
from tests.conftest import BrokerAccess
from tests.integration.fleet.fleets import make_charger, make_vehicle
from tests.integration.fleet.loops import eventually
from tests.integration.fleet.mqtt_stage import PASSWORD, Stage, numbers, twin_park

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.yaml"
# of stations that speak OCPP through the broker; their frames are held against the document where they are tested
TUNNEL = {"ocppUp", "ocppDown"}
INSTANT = "2026-11-23T18:30:00Z"

# One full message of every kind that devices send; the properties below begin from them.
WHOLE: dict[str, dict[str, Any]] = {
    "birth": {"at": INSTANT, "vendor": "Maker", "model": "Box", "serial_number": "7", "firmware_version": "2.1"},
    "status": {
        "online": True,
        "at": INSTANT,
        "connectors": [{"evse": 1, "connector": 1, "status": "Available", "detail": ""}],
    },
    "meter": {
        "measurements": [
            {
                "evse": 1,
                "at": INSTANT,
                "power_kw": -7.5,
                "import_kwh": 5.0,
                "export_kwh": 0.0,
                "soc_fraction": 0.5,
                "temperature_c": 21.0,
            }
        ]
    },
    "session": {
        "event": "started",
        "evse": 1,
        "session_id": "S-1",
        "sequence": 0,
        "id_token": "T",
        "at": INSTANT,
        "started_at": INSTANT,
        "meter_start_kwh": 5.0,
        "meter_stop_kwh": None,
        "soc_fraction": 0.5,
        "energy_needed_kwh": 20.0,
        "max_charge_kw": 11.0,
        "max_discharge_kw": 0.0,
        "departure_at": INSTANT,
        "reason": "",
    },
    "ack": {"sequence": 7, "accepted": False, "reason": "too hot", "at": INSTANT},
    "log": {"at": INSTANT, "level": "warning", "text": "fan is slow"},
    "time": {"sent_at": INSTANT},
    "chunk": {"sequence": 7, "offset_bytes": 16384},
    "firmware": {
        "sequence": 7,
        "state": "rolled_back",
        "version": "1.0.0",
        "offset_bytes": 100,
        "reason": "self-test",
        "at": INSTANT,
    },
}
# What a field may be replaced by. Instants are written as the document wants them or not at all: ISO 8601 has more forms
# than RFC 3339, and the program is lenient with them.
VALUES = (
    None,
    True,
    0,
    1,
    -1,
    2,
    1.5,
    1e6,
    1e12,
    "",
    "Available",
    "x" * 60,
    "x" * 300,
    [],
    {},
    [{}],
    INSTANT,
    "yesterday",
)


@cache
def document() -> dict[str, Any]:
    return yaml.safe_load(DOCUMENT.read_text())


@cache
def validator(schema_name: str) -> jsonschema_rs.Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{schema_name}", "components": document()["components"]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def schema_of(channel: str) -> str:
    (message,) = document()["channels"][channel]["messages"]
    return document()["components"]["messages"][message]["payload"]["$ref"].rpartition("/")[2]


def channel_of(topic: str) -> str:
    """The channel of the document that a topic belongs to; fails if there is none."""
    for name, channel in document()["channels"].items():
        pattern = channel["address"].split("/")
        parts = topic.split("/")
        if len(pattern) == len(parts) and all(p.startswith("{") or p == q for p, q in zip(pattern, parts, strict=True)):
            return name
    raise AssertionError(f"{topic} is in no channel of {DOCUMENT.name}")


def accepted(kind: str, content: Any) -> bool:
    try:
        parse_up(kind, json.dumps(content).encode())
    except MalformedMessage:
        return False
    return True


def test_the_document_has_a_channel_an_operation_and_a_schema_for_every_kind() -> None:
    up = {name for name, channel in document()["channels"].items() if "/up/" in channel["address"]} - TUNNEL
    assert up == set(_PARSERS) == set(WHOLE)
    assert all(channel["address"].startswith(ROOT) for channel in document()["channels"].values())
    used = {operation["channel"]["$ref"].rpartition("/")[2] for operation in document()["operations"].values()}
    assert used == set(document()["channels"])
    for channel in document()["channels"]:
        assert schema_of(channel) in document()["components"]["schemas"]


@pytest.mark.parametrize("kind", list(WHOLE))
def test_every_property_of_the_document_is_in_the_whole_message(kind: str) -> None:
    properties = document()["components"]["schemas"][schema_of(kind)]["properties"]
    assert set(properties) == set(WHOLE[kind])
    assert validator(schema_of(kind)).is_valid(WHOLE[kind])
    assert accepted(kind, WHOLE[kind])


def paths(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [path for key, item in value.items() for path in [(*at, key), *paths(item, (*at, key))]]
    if isinstance(value, list):
        return [path for index, item in enumerate(value) for path in [(*at, index), *paths(item, (*at, index))]]
    return []


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, Any]:
    """A message of which up to two fields are taken away or replaced."""
    kind = draw(st.sampled_from(sorted(WHOLE)))
    content = copy.deepcopy(WHOLE[kind])
    for _ in range(draw(st.integers(1, 2))):
        found = paths(content)
        if not found:
            break
        path = draw(st.sampled_from(found))
        holder: Any = content
        for step in path[:-1]:
            holder = holder[step]
        if draw(st.booleans()):
            del holder[path[-1]]
        else:
            holder[path[-1]] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    return kind, content


@given(spoiled())
@example(("meter", {"measurements": [{"evse": 1, "at": "2026-11-23T18:30:00"}]}))
@example(("status", {"online": False}))
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_program_takes_what_the_document_allows_and_nothing_else(spoilt: tuple[str, Any]) -> None:
    kind, content = spoilt
    assert accepted(kind, content) == validator(schema_of(kind)).is_valid(content), content


@given(st.binary(max_size=300), st.sampled_from(sorted(WHOLE)))
def test_noise_is_refused_and_never_breaks_anything(payload: bytes, kind: str) -> None:
    try:
        parse_up(kind, payload)
    except MalformedMessage as error:
        assert error.remedy or error.message


def test_a_message_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(MalformedMessage, match="bytes"):
        parse_up("log", b" " * 70_000)


def offer_image(station: MqttStation, identity: str, folder: Path) -> None:
    """Let a charger take a new firmware, of two chunks."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    image: dict[str, Any] = {"vendor": "Twin", "model": "Twin", "version": "2.0.0", "content": b"firmware" * 3000}
    signature, public_key = sign_firmware(**image, private_key_pem=pem)
    now = datetime.now(UTC)
    store_firmware(**image, signature=signature, public_key=public_key, now=now)
    station.client.firmware = FirmwareUpdate(
        hardware=station, maker_key=key.public_key().public_bytes_raw(), folder=folder, say=station.client.say
    )
    eventually(lambda: Charger.objects.get(identity=identity).vendor)
    offer_firmware(charger_identity=identity, version="2.0.0", now=now)
    eventually(lambda: Charger.objects.get(identity=identity).firmware_version == "2.0.0")


@pytest.mark.django_db(transaction=True)
def test_all_that_goes_over_the_wire_is_as_the_document_says(
    db: None, mqtt_broker: BrokerAccess, tmp_path: Path
) -> None:
    heard: list[tuple[str, bytes]] = []
    stage = Stage(mqtt_broker)
    stage.platform_client(lambda topic, payload: heard.append((topic, payload)))
    identity = f"AA-{next(numbers):04d}"
    evse = make_charger(identity=identity, password=PASSWORD)
    make_vehicle()
    mqtt_broker.add_device(identity, PASSWORD)
    park = twin_park(identity, max_discharge_kw=10)
    try:
        eventually(lambda: ChargingSession.objects.exists() and Asset.objects.get().connected)
        now = datetime.now(UTC)
        until = now + timedelta(minutes=1)
        schedule = PowerSchedule(evse.asset_id, now, (0.0, 30.0), (-3.0, 5.0), until)
        queue_schedules(schedules=[schedule], now=now)
        queue_command(asset_id=evse.asset_id, kind="reset", parameters={"kind": "soft"}, now=now, valid_until=until)
        settled = [CommandState.CONFIRMED, CommandState.REFUSED]
        eventually(lambda: DeviceCommand.objects.filter(state__in=settled).count() == 2)
        station = next(iter(park.park.stations.values()))
        station.client.report_log("warning", "the fan is slow")
        offer_image(station, identity, tmp_path)
        station.client.report_measurements([])  # the document forbids an empty list: answered on down/error
        park.unplug()
        eventually(lambda: ChargingSession.objects.filter(ended_at__isnull=False).exists())
        kinds = set(document()["channels"]) - TUNNEL
        eventually(lambda: {channel_of(topic) for topic, _ in list(heard)} == kinds)
    finally:
        park.close()
        stage.close()
    wrong = [
        (topic, payload)
        for topic, payload in heard
        if identity in topic and payload and not validator(schema_of(channel_of(topic))).is_valid(json.loads(payload))
    ]
    assert [json.loads(payload) for _, payload in wrong] == [{"measurements": []}]
