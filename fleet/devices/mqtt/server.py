"""The MQTT gateway: one connection to the broker, everything devices say stored before the broker may forget it.

One process speaks for the devices: it hears who comes and goes, keeps sessions, and sends commands. Measurements, which
are nearly all there is to store, may be shared with any number of further processes that do nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from common.errors import InvalidInput
from fleet.devices.gateway import CommandDelivery
from fleet.devices.mqtt.driver import MqttDriver
from fleet.devices.mqtt.ingest import Ingest, Received
from fleet.devices.mqtt.messages import (
    OTHER_FILTERS,
    SHARED_METER_FILTER,
    UP_FILTER,
    Ack,
    MalformedMessage,
    down_topic,
    parse_up,
    setpoint_topic,
    split_topic,
)

logger = logging.getLogger(__name__)

QOS = 1
KEEPALIVE_S = 20
RECONNECT_S = (1, 4)
CHECK_S = 0.5


def broker_client(url: str, *, client_id: str) -> paho.Client:
    """A client for `mqtt://user:password@host:port` (`mqtts` for TLS) that keeps its session while it is away.

    Raises:
        InvalidInput: the address is no such URL.
    """
    address = urlsplit(url)
    if address.scheme not in ("mqtt", "mqtts") or not address.hostname:
        raise InvalidInput(
            f"{address.scheme or 'nothing'}://… is no address of a broker.",
            field="MQTT_URL",
            remedy="Write it as mqtt://user:password@host:1883, or mqtts:// for TLS.",
        )
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False, protocol=paho.MQTTv311, manual_ack=True
    )
    if address.username:
        client.username_pw_set(unquote(address.username), unquote(address.password or ""))
    if address.scheme == "mqtts":
        client.tls_set()
    client.reconnect_delay_set(*RECONNECT_S)
    client.max_inflight_messages_set(500)
    default_port = 8883 if address.scheme == "mqtts" else 1883
    client.connect_async(address.hostname, address.port or default_port, keepalive=KEEPALIVE_S)
    return client


class Part(StrEnum):
    """What a process does among others."""

    ALL = "all"  # everything, alone
    SPEAKS = "speaks"  # everything, but shares the measurements
    INGESTS = "ingests"  # a share of the measurements, and nothing else


class MqttGateway:
    """One gateway process. `run` stores and delivers until it is told to stop."""

    def __init__(
        self,
        *,
        identity: str,
        session: str,
        broker_url: str,
        ready: Callable[[], None] = lambda: None,
        part: Part = Part.ALL,
    ) -> None:
        """`session` names the broker's session of this process: another one with the same name takes it over."""
        self._part = part
        self._identity = identity
        self._ready = ready
        self._client = broker_client(broker_url, client_id=session)
        self._ingest = Ingest(gateway_identity=identity, answers=self)
        self._driver = MqttDriver(self._publish)
        self._subscribed = False
        self._asked_for: dict[int | None, tuple[str, ...]] = {}
        self._refused = ""

    @property
    def readings_stored(self) -> int:
        """How many readings this process has stored."""
        return self._ingest.stored

    async def run(self, stop: asyncio.Event) -> None:
        """Store and deliver until `stop` is set; then store what has come and leave the broker's session standing.

        Raises:
            InvalidInput: the broker refuses our name and password.
        """
        self._loop = asyncio.get_running_loop()
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._delivery = CommandDelivery(gateway_identity=self._identity, gateway_class="mqtt", driver=self._driver)
        delivers = self._part is not Part.INGESTS
        delivering = asyncio.create_task(self._delivery.run(stop) if delivers else _until(stop))
        self._ingest.start()
        self._client.loop_start()
        try:
            while not (stop.is_set() or delivering.done() or self._refused or not self._ingest.alive):
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), CHECK_S)
        finally:
            stop.set()
            await delivering
            # first no new messages, then store and acknowledge those that came, then leave
            await asyncio.to_thread(self._ingest.stop)
            self._client.disconnect()
            await asyncio.to_thread(self._client.loop_stop)
        if self._refused:
            raise InvalidInput(
                f"The broker refuses the platform: {self._refused}.",
                field="MQTT_URL",
                remedy="Correct the name and password in it, or let that user in at the broker.",
            )
        if self._ingest.failure is not None:
            raise RuntimeError("the ingest has ended") from self._ingest.failure

    # what the ingest tells devices; called in its thread

    def tell(self, identity: str, kind: str, payload: bytes) -> None:
        """Send a receipt or an error to a device."""
        self._publish(down_topic(identity, kind), payload, False)

    def clear_setpoint(self, identity: str, evse: int) -> None:
        """Take the retained set-point of an EVSE away."""
        self._publish(setpoint_topic(identity, evse), b"", True)

    def _publish(self, topic: str, payload: bytes, retain: bool) -> bool:
        if not self._client.is_connected():
            return False
        return self._client.publish(topic, payload, qos=QOS, retain=retain).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    # what the broker says; called in the network thread of paho

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not reason.is_failure:
            logger.info("connected to the broker")
            self._subscribe(client)
        elif reason in ("Bad user name or password", "Not authorized"):
            self._refused = str(reason)
        else:
            logger.warning("the broker does not let us in: %s", reason)

    def _subscribe(self, client: paho.Client, *, sharing: bool = True) -> None:
        """Listen to what is this process's part; what its session still has from another part is given up."""
        wanted: tuple[str, ...] = (UP_FILTER,)
        if self._part is not Part.ALL and sharing:
            others = OTHER_FILTERS if self._part is Part.SPEAKS else ()
            wanted = (SHARED_METER_FILTER, *others)
        unwanted = {UP_FILTER, SHARED_METER_FILTER, *OTHER_FILTERS} - set(wanted)
        client.unsubscribe(sorted(unwanted))
        _, mid = client.subscribe([(topic_filter, QOS) for topic_filter in wanted])
        self._asked_for[mid] = wanted

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            logger.warning("the broker is gone (%s); trying to reach it again", reason)

    def _on_subscribe(self, client: paho.Client, _data: Any, mid: int, reasons: Any, _properties: Any) -> None:
        wanted = self._asked_for.pop(mid, ())
        refused = [wanted[index] for index, reason in enumerate(reasons) if reason.is_failure and index < len(wanted)]
        if refused == [SHARED_METER_FILTER] and self._part is Part.SPEAKS:
            logger.warning("the broker offers no shared subscriptions: this process stores everything alone")
            self._subscribe(client, sharing=False)
            return
        if refused:
            self._refused = f"it does not let us listen to {', '.join(refused)}"
        elif not self._subscribed:
            self._subscribed = True
            self._loop.call_soon_threadsafe(self._ready)
        self._loop.call_soon_threadsafe(self._delivery.wake)

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        done = partial(client.ack, message.mid, message.qos)
        if message.topic.endswith("/up/ack") and self._take_ack(message):
            done()
            return
        self._ingest.submit(
            Received(message.topic, bytes(message.payload), datetime.now(UTC), bool(message.retain), done)
        )

    def _take_ack(self, message: paho.MQTTMessage) -> bool:
        """Hand an acknowledgement to whoever waits for it. A malformed one goes the way of all others, to be refused."""
        try:
            identity, kind = split_topic(message.topic)
            ack = parse_up(kind, bytes(message.payload))
        except MalformedMessage:
            return False
        if isinstance(ack, Ack):
            self._loop.call_soon_threadsafe(self._driver.answered, identity, ack)
        return True


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
