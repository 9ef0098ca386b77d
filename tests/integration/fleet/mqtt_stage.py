"""Chargers at a real broker, for tests: a gateway, devices that say whatever they are told to, and the reference client."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as paho
from django.conf import settings
from paho.mqtt.enums import CallbackAPIVersion

from fleet.devices.mqtt.messages import ROOT
from fleet.devices.mqtt.server import MqttGateway
from fleet.twin.clock import TwinClock
from fleet.twin.mqtt.park import MqttPark
from fleet.twin.world import parse_world
from tests.conftest import BrokerAccess
from tests.integration.fleet.fleets import forget_readings, make_charger
from tests.integration.fleet.loops import LoopThread

PASSWORD = "a-long-secret-of-a-device"
FAIL_SAFE_KW = 2.0
numbers = itertools.count(1)


class Wire:
    """A device at the wire: says whatever it is told to, keeps whatever it hears."""

    def __init__(self, broker: BrokerAccess, identity: str, password: str) -> None:
        self.identity = identity
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.refusal = ""
        self.gone = False
        self._subscribed = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=identity, clean_session=False)
        self.client.username_pw_set(identity, password)
        self.client.will_set(f"{ROOT}/{identity}/up/status", b'{"online": false}', qos=1, retain=True)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = lambda _client, _data, message: self.heard.append(
            (message.topic.rpartition("/down/")[2], json.loads(message.payload or b"{}"))
        )
        self.client.connect(broker.host, broker.port, keepalive=5)
        self.client.loop_start()

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self.refusal = str(reason)
        else:
            client.subscribe(f"{ROOT}/{self.identity}/down/#", qos=1)

    def ready(self) -> Wire:
        assert self._subscribed.wait(10), "the broker does not let the device in"
        return self

    def say(self, kind: str, content: Any, *, identity: str = "", retain: bool = False) -> None:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        topic = f"{ROOT}/{identity or self.identity}/up/{kind}"
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5)

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [content for topic, content in list(self.heard) if topic.partition("/")[0] == kind]

    def vanish(self) -> None:
        """Cut the connection without a word."""
        self.client.loop_stop()
        self.client.socket().close()
        self.gone = True

    def close(self) -> None:
        if self.gone:
            return
        if self.client.is_connected():
            self.say("status", b"", retain=True)
        self.client.disconnect()
        self.client.loop_stop()


class Stage:
    """A gateway, and devices that a test adds."""

    def __init__(self, broker: BrokerAccess) -> None:
        forget_readings()
        self.broker = broker
        self.loop = LoopThread()
        self.devices: list[Wire] = []
        self._listeners: list[paho.Client] = []
        self._retained: set[str] = set()
        self.session = f"gateway-{time.monotonic_ns()}"
        self.stop_gateway = self.start_gateway()

    def start_gateway(self) -> Callable[[], None]:
        ready = threading.Event()
        gateway = MqttGateway(identity="test-mqtt", session=self.session, broker_url=settings.MQTT_URL, ready=ready.set)
        stop = self.loop.start(gateway.run)
        assert ready.wait(15), "the gateway is not let in"
        return stop

    def device(self, *, registered: bool = True) -> Wire:
        # a name of its own, because the broker remembers the sessions of devices from test to test
        identity = f"MQ-{next(numbers):04d}"
        if registered:
            evse = make_charger(identity=identity, password=PASSWORD)
            evse.fail_safe_kw = FAIL_SAFE_KW
            evse.save()
        self.broker.add_device(identity, PASSWORD)
        device = Wire(self.broker, identity, PASSWORD)
        self.devices.append(device)
        return device.ready()

    def platform_client(self, on_message: Callable[[str, bytes], None] = lambda _topic, _payload: None) -> paho.Client:
        """The platform's own user, listening to everything below v2g/."""
        subscribed = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.username_pw_set(self.broker.user, self.broker.password)
        client.on_message = lambda _client, _data, message: self._hear(message, on_message)
        client.on_subscribe = lambda *_: subscribed.set()
        client.connect(self.broker.host, self.broker.port)
        client.loop_start()
        client.subscribe("v2g/#", qos=1)
        assert subscribed.wait(10)
        self._listeners.append(client)
        return client

    def close(self) -> None:
        for listener in self._listeners:
            listener.disconnect()
            listener.loop_stop()
        try:
            for device in self.devices:
                device.close()
        finally:
            self.loop.close()
            self._forget_retained()

    def _hear(self, message: paho.MQTTMessage, on_message: Callable[[str, bytes], None]) -> None:
        if message.retain and message.payload:
            self._retained.add(message.topic)
        on_message(message.topic, bytes(message.payload))

    def _forget_retained(self) -> None:
        """Leave the broker, which other tests use, as if nobody had been there."""
        listener = self.platform_client()
        time.sleep(0.3)
        for topic in list(self._retained):
            listener.publish(topic, b"", qos=1, retain=True).wait_for_publish(5)
        listener.disconnect()
        listener.loop_stop()


class TwinPark:
    """A park of the twin with a clock in a thread."""

    def __init__(self, park: MqttPark) -> None:
        self.park = park
        self._end = threading.Event()
        self._unplug = threading.Event()
        park.start()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(0.1):
            now = datetime.now(UTC)
            if self._unplug.is_set():
                self._unplug.clear()
                next(iter(self.park.stations.values())).unplug(1, now)
            self.park.tick(now)

    def unplug(self) -> None:
        self._unplug.set()

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self.park.stop()


def twin_park(identity: str, *, max_discharge_kw: float) -> TwinPark:
    evse = {"number": 1, "max_charge_kw": 11, "max_discharge_kw": max_discharge_kw, "min_charge_kw": 1.4}
    world = parse_world(
        {
            "chargers": [
                {
                    "identity": identity,
                    "password": PASSWORD,
                    "protocol": "mqtt",
                    "meter_interval_s": 0.5,
                    "evses": [evse],
                }
            ],
            "cars": [
                {
                    "identity": "EV-0001",
                    "charger": identity,
                    "evse": 1,
                    "id_token": "TOKEN-1",
                    "battery_capacity_kwh": 60,
                    "soc_fraction": 0.5,
                    "max_charge_kw": 11,
                    "max_discharge_kw": max_discharge_kw,
                }
            ],
        }
    )
    return TwinPark(MqttPark(world, broker_url=settings.MQTT_URL, clock=TwinClock(started_at=datetime.now(UTC))))
