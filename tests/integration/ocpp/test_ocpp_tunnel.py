"""OCPP frames through a real MQTT broker, in front of the same dispatcher as websockets."""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from common.errors import InvalidInput
from fleet.devices.mqtt.messages import ROOT
from fleet.models import Charger, ChargingSession, CommandState, DeviceCommand
from fleet.operations.commands import queue_command
from fleet.operations.station_access import UnknownDevice, WeakProfile
from fleet.operations.tunnel import admit_tunnelled_station, allow_tunnel
from tests.conformance.test_asyncapi import validator
from tests.conftest import BrokerAccess
from tests.integration.fleet.loops import eventually
from tests.integration.fleet.mqtt_stage import numbers
from tests.integration.ocpp.support import RunningGateway, make_place, now, utc_text

pytestmark = pytest.mark.django_db(transaction=True)
VERSION = "ocpp2.0.1"


class TunnelledStation:
    """A station on site whose frames a gateway carries to the broker."""

    def __init__(self, broker: BrokerAccess, identity: str, password: str) -> None:
        self.up, self.down = (f"{ROOT}/{identity}/{way}/ocpp/{VERSION}" for way in ("up", "down"))
        self.frames: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.gone = threading.Event()
        subscribed = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=identity, clean_session=True)
        self.client.username_pw_set(identity, password)
        self.client.will_set(self.up, b"", qos=1)
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.connect(broker.host, broker.port, keepalive=5)
        self.client.loop_start()
        self.client.subscribe(self.down, qos=1)
        assert subscribed.wait(10)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        if message.payload:
            frame = json.loads(message.payload)
            assert validator("OcppFrame").is_valid(frame)
            self.frames.put(frame)
        else:
            self.gone.set()

    def say(self, frame: Any) -> None:
        payload = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        self.client.publish(self.up, payload, qos=1).wait_for_publish(5)

    def call(self, action: str, payload: dict[str, Any], message_id: str = "") -> Any:
        """Ask, answering the calls that come in between as a willing station does."""
        number = message_id or f"m{next(numbers)}"
        self.say([2, number, action, payload])
        while True:
            frame = self.frames.get(timeout=15)
            if frame[0] in (3, 4) and frame[1] == number:
                return frame
            if frame[0] == 2:
                self.say([3, frame[1], {"status": "Accepted"}])

    def vanish(self) -> None:
        self.client.loop_stop()
        self.client.socket().close()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def gateway(background: Any, mqtt_broker: BrokerAccess) -> Iterator[RunningGateway]:
    running = RunningGateway(tunnel_url=os.environ["MQTT_URL"])
    yield running
    running.stop()


@pytest.fixture
def station(gateway: RunningGateway, mqtt_broker: BrokerAccess) -> Iterator[TunnelledStation]:
    identity = f"CT-{next(numbers):04d}"
    make_place(identity, VERSION)
    station = TunnelledStation(mqtt_broker, identity, allow_tunnel(identity=identity))
    yield station
    station.close()


BOOT = {"reason": "PowerUp", "chargingStation": {"vendorName": "Maker", "model": "Box"}}


def test_a_station_boots_charges_and_is_commanded_through_the_broker(station: TunnelledStation) -> None:
    assert station.call("BootNotification", BOOT)[2]["status"] == "Accepted"
    eventually(lambda: Charger.objects.get().gateway_identity == "gateway-1")
    token = Charger.objects.get().identity
    started = {
        "eventType": "Started",
        "timestamp": utc_text(now()),
        "triggerReason": "CablePluggedIn",
        "seqNo": 0,
        "transactionInfo": {"transactionId": "T-1"},
        "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": f"T{token}", "type": "Central"},
    }
    for _ in range(2):  # a frame that the broker delivers twice is a session once
        station.call("TransactionEvent", started, "same-id")
    assert ChargingSession.objects.get().transaction_id == "T-1"
    command = queue_command(
        asset_id=Charger.objects.get().evses.get().asset_id,
        kind="trigger",
        parameters={"message": "Heartbeat"},
        now=now(),
        valid_until=now() + timedelta(minutes=1),
    )

    def confirmed() -> bool:
        station.call("Heartbeat", {})
        return DeviceCommand.objects.get(pk=command).state == CommandState.CONFIRMED

    eventually(confirmed)


def test_its_last_will_ends_the_connection_and_it_may_come_again(
    station: TunnelledStation, mqtt_broker: BrokerAccess
) -> None:
    station.call("Heartbeat", {})
    eventually(lambda: Charger.objects.get().gateway_identity == "gateway-1")
    station.vanish()
    eventually(lambda: Charger.objects.get().gateway_identity == "", within_s=25)
    identity = Charger.objects.get().identity
    again = TunnelledStation(mqtt_broker, identity, allow_tunnel(identity=identity))
    assert again.call("Heartbeat", {})[0] == 3
    again.close()


@pytest.mark.parametrize("noise", [b"not json", b"\xff\xfe", b"{}", b"[2]", b'[2,"a","Heartbeat"]', b"[" * 5000])
def test_noise_is_answered_or_left_and_the_next_frame_is_served(station: TunnelledStation, noise: bytes) -> None:
    station.say(noise)
    assert station.call("Heartbeat", {})[0] == 3


def test_a_flood_is_answered_or_cut_off_and_the_station_may_go_on(station: TunnelledStation) -> None:
    for number in range(300):
        station.client.publish(station.up, json.dumps([2, f"f{number}", "Heartbeat", {}]), qos=1)
    assert eventually(lambda: station.gone.is_set() or station.frames.qsize() >= 300, within_s=60)
    assert station.call("Heartbeat", {}, "after")[0] == 3


def test_a_stranger_is_told_that_he_is_none(
    station: TunnelledStation, gateway: RunningGateway, mqtt_broker: BrokerAccess
) -> None:
    mqtt_broker.add_device("CT-NOBODY", "a-password-of-nobody")
    stranger = TunnelledStation(mqtt_broker, "CT-NOBODY", "a-password-of-nobody")
    stranger.say([2, "1", "Heartbeat", {}])
    assert stranger.gone.wait(10)
    stranger.close()
    assert station.call("Heartbeat", {})[0] == 3


def test_who_may_come_through_the_broker(background: Any, mqtt_broker: BrokerAccess) -> None:
    make_place("CT-WS", VERSION)
    with pytest.raises(UnknownDevice, match="may not come through the broker"):
        admit_tunnelled_station(identity="CT-WS")
    allow_tunnel(identity="CT-WS")
    assert admit_tunnelled_station(identity="CT-WS").identity == "CT-WS"
    Charger.objects.update(security_profile=3)
    with pytest.raises(WeakProfile):
        admit_tunnelled_station(identity="CT-WS")
    with pytest.raises(InvalidInput, match="at the broker"):
        allow_tunnel(identity="CP*1")
    with pytest.raises(UnknownDevice):
        allow_tunnel(identity="CT-NONE")
