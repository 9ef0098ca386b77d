"""The charger's side of the MQTT protocol: a reference client. docs/asyncapi.yaml has every field.

What a charger does, in the order in which it happens:

1. connects with its identity as user name and client id, and a last will `up/status {"online": false}`, retained;
2. subscribes to `down/#` and publishes `up/birth`, `up/status {"online": true, …}` retained, and every session event
   that has no receipt yet;
3. publishes `up/meter` every few seconds; what cannot be sent waits in order (QoS 1) and keeps its own instants;
4. publishes `up/session` when a car comes, changes or leaves, again every 30 s until `down/receipt` names it;
5. follows `down/setpoint/<evse>`: the newest sequence number for its session, until `valid_until`, then `fail_safe_kw`;
   answers with `up/ack`. A set-point is retained, so it comes again after every connection: the answer is the same;
6. does what `down/command` says, if it can, and answers with `up/ack`;
7. asks `up/time` and sets its clock by `down/time`; takes new firmware as `firmware.py` says.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from fleet.core.timetable import PowerTimetable
from fleet.twin.mqtt.firmware import FirmwareUpdate

logger = logging.getLogger(__name__)

ROOT = "v2g/v1/devices"
QOS = 1
KEEPALIVE_S = 15
SEND_AGAIN = timedelta(seconds=30)
MOST_WAITING = 10_000
FRESH = timedelta(seconds=10)


@dataclass(frozen=True)
class Setpoint:
    """A set-point as it came."""

    sequence: int
    evse: int
    session_id: str
    timetable: PowerTimetable
    fail_safe_kw: float

    def power_kw(self, now: datetime) -> float | None:
        """What to do at `now`, + into the car; None before it begins. Over and not renewed: the fail-safe power."""
        if now >= self.timetable.valid_until:
            return self.fail_safe_kw
        return self.timetable.power_at(now)


class ChargerHardware(Protocol):
    """What the client needs of the charger that it speaks for. Called in the client's network thread."""

    def describe(self) -> Mapping[str, Any]:
        """Vendor, model, serial number and firmware version."""
        ...

    def connectors(self) -> Sequence[Mapping[str, Any]]:
        """The state of every connector."""
        ...

    def take_setpoint(self, setpoint: Setpoint) -> str:
        """Follow a set-point; returns why not, or nothing."""
        ...

    def take_command(self, command: str, evse: int, parameters: Mapping[str, Any]) -> str:
        """Do as told; returns why not, or nothing."""
        ...

    def take_receipt(self, session_id: str, accepted: bool, reason: str) -> None:
        """The platform has stored an event of a session; whether its driver may charge."""
        ...


class ChargerClient:
    """Speaks for one charger. `start` and `stop` once; `tick` every second or so."""

    def __init__(self, *, identity: str, password: str, broker_url: str, hardware: ChargerHardware) -> None:
        self.identity = identity
        self.firmware: FirmwareUpdate | None = None  # set before `start`, for a charger that takes new firmware
        self.clock_error_s: float | None = None  # how far our clock is ahead of the platform's
        self._hardware = hardware
        self._newest: dict[int, int] = {}  # EVSE -> sequence of the set-point it follows
        self._unconfirmed: dict[tuple[str, int], tuple[datetime, bytes]] = {}  # (session, sequence) -> sent at, event
        self._lock = threading.Lock()
        address = urlsplit(broker_url)
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=identity, clean_session=False, protocol=paho.MQTTv311
        )
        client.username_pw_set(identity, password)
        if address.scheme == "mqtts":
            client.tls_set()
        client.will_set(self._topic("status"), b'{"online": false}', qos=QOS, retain=True)
        client.max_queued_messages_set(MOST_WAITING)
        client.reconnect_delay_set(1, 5)
        client.on_connect, client.on_message = self._on_connect, self._on_message
        client.connect_async(address.hostname or "", address.port or 1883, keepalive=KEEPALIVE_S)
        self._client = client

    @property
    def connected(self) -> bool:
        return self._client.is_connected()

    def start(self) -> None:
        """Connect, and stay connected."""
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye (a clean disconnection cancels the last will) and leave."""
        if self.connected:
            goodbye = self._publish("status", {"online": False, "at": _now()}, retain=True)
            try:
                goodbye.wait_for_publish(1.0)
            except (RuntimeError, ValueError):
                logger.debug("%s could not say goodbye", self.identity)
        self._client.disconnect()
        self._client.loop_stop()

    def tick(self, now: datetime) -> None:
        """Send again what has waited too long for its receipt."""
        with self._lock:
            late = [key for key, (sent_at, _) in self._unconfirmed.items() if now - sent_at >= SEND_AGAIN]
        for key in late:
            self._send_event(key, now)
        if self.firmware is not None and self.connected:
            self.firmware.tick(now)

    def say(self, kind: str, content: Mapping[str, Any]) -> None:
        """Publish a message of any kind below `up/`."""
        self._publish(kind, content)

    def report_status(self) -> None:
        """Say that we are here and how the connectors are."""
        content = {"online": True, "at": _now(), "connectors": list(self._hardware.connectors())}
        self._publish("status", content, retain=True)

    def report_measurements(self, measurements: Sequence[Mapping[str, Any]]) -> None:
        """Say what the meters show."""
        self._publish("meter", {"measurements": list(measurements)})

    def report_session(self, event: Mapping[str, Any]) -> None:
        """Say that a session began, changed or ended; kept until the platform has confirmed it."""
        key = (event["session_id"], event["sequence"])
        with self._lock:
            self._unconfirmed[key] = (datetime.now(UTC), json.dumps(event, default=_as_text).encode())
        self._send_event(key, datetime.now(UTC))

    def report_log(self, level: str, text: str) -> None:
        """Add a line to the charger's log at the platform."""
        self._publish("log", {"at": _now(), "level": level, "text": text})

    def _send_event(self, key: tuple[str, int], now: datetime) -> None:
        with self._lock:
            if key not in self._unconfirmed:
                return
            payload = self._unconfirmed[key][1]
            self._unconfirmed[key] = (now, payload)
        self._client.publish(self._topic("session"), payload, qos=QOS)

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            logger.warning("%s is not let in: %s", self.identity, reason)
            return
        client.subscribe(f"{ROOT}/{self.identity}/down/#", qos=QOS)
        self._publish("birth", {"at": _now(), **self._hardware.describe()})
        self.report_status()
        with self._lock:
            waiting = list(self._unconfirmed)
        for key in waiting:
            self._send_event(key, datetime.now(UTC))
        self._publish("time", {"sent_at": _now()})
        if self.firmware is not None:
            self.firmware.resume()

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        kind = message.topic.removeprefix(f"{ROOT}/{self.identity}/down/").partition("/")[0]
        if not message.payload:
            return  # a retained set-point was taken away: what we follow runs out by itself
        try:
            content = json.loads(message.payload)
            if kind == "setpoint":
                self._on_setpoint(content)
            elif kind == "command":
                self._on_command(content)
            elif kind == "receipt":
                self._on_receipt(content)
            elif kind == "time":
                self._on_time(content)
            elif kind == "firmware":
                self._on_firmware(content)
            elif kind == "chunk" and self.firmware is not None:
                self.firmware.take_chunk(content)
            elif kind == "error":
                logger.warning("%s is told: %s", self.identity, content["reason"])
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("%s cannot read %s: %s", self.identity, message.topic, error)

    def _on_setpoint(self, content: Mapping[str, Any]) -> None:
        setpoint = Setpoint(
            sequence=content["sequence"],
            evse=content["evse"],
            session_id=content["session_id"],
            timetable=PowerTimetable(
                starts_at=datetime.fromisoformat(content["starts_at"]),
                valid_until=datetime.fromisoformat(content["valid_until"]),
                offset_s=[entry["offset_s"] for entry in content["schedule"]],
                power_kw=[entry["power_kw"] for entry in content["schedule"]],
            ),
            fail_safe_kw=content["fail_safe_kw"],
        )
        newest = self._newest.get(setpoint.evse, -1)
        if setpoint.sequence < newest:
            return self._acknowledge(setpoint.sequence, f"{newest} is newer")
        if setpoint.timetable.valid_until <= datetime.now(UTC):
            return self._acknowledge(setpoint.sequence, "it has expired")
        reason = self._hardware.take_setpoint(setpoint)
        if not reason:
            self._newest[setpoint.evse] = setpoint.sequence
        return self._acknowledge(setpoint.sequence, reason)

    def _on_command(self, content: Mapping[str, Any]) -> None:
        if datetime.fromisoformat(content["valid_until"]) <= datetime.now(UTC):
            return self._acknowledge(content["sequence"], "it has expired")
        reason = self._hardware.take_command(content["command"], content["evse"], content["parameters"])
        return self._acknowledge(content["sequence"], reason)

    def _on_time(self, content: Mapping[str, Any]) -> None:
        """How far our clock is ahead; of an answer half the way there and back is taken off (as in RFC 5905)."""
        now, at = datetime.now(UTC), datetime.fromisoformat(content["at"])
        sent_at = content["sent_at"] and datetime.fromisoformat(content["sent_at"])
        if not sent_at or now - sent_at > FRESH:
            self._publish("time", {"sent_at": _now()})  # not asked for, or so late that it says nothing
            return
        received_at = datetime.fromisoformat(content["received_at"])
        self.clock_error_s = ((now - at) + (sent_at - received_at)).total_seconds() / 2

    def _on_firmware(self, content: dict[str, Any]) -> None:
        if self.firmware is None:
            return self._acknowledge(content["sequence"], "this charger takes no firmware over MQTT")
        self._acknowledge(content["sequence"], "")
        reason = self.firmware.take_offer(content)
        return logger.warning("%s leaves a firmware: %s", self.identity, reason) if reason else None

    def _on_receipt(self, content: Mapping[str, Any]) -> None:
        with self._lock:
            self._unconfirmed.pop((content["session_id"], content["sequence"]), None)
        self._hardware.take_receipt(content["session_id"], content["accepted"], content["reason"])

    def _acknowledge(self, sequence: int, reason: str) -> None:
        self._publish("ack", {"sequence": sequence, "accepted": not reason, "reason": reason, "at": _now()})

    def _publish(self, kind: str, content: Mapping[str, Any], *, retain: bool = False) -> paho.MQTTMessageInfo:
        payload = json.dumps(content, default=_as_text).encode()
        return self._client.publish(self._topic(kind), payload, qos=QOS, retain=retain)

    def _topic(self, kind: str) -> str:
        return f"{ROOT}/{self.identity}/up/{kind}"


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} cannot be sent")
