"""Notifications through the platform's MQTT broker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from django.conf import settings
from paho.mqtt.enums import CallbackAPIVersion

from common.errors import PlatformError

ANSWER_WITHIN_S = 10.0
AT_LEAST_ONCE = 1


class BrokerAway(PlatformError):
    """The broker did not take the messages."""

    code = "broker_away"


def publish(messages: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Publish (topic, payload) pairs; returns when the broker has acknowledged all.

    Raises:
        BrokerAway: it did not.
    """
    url = urlsplit(settings.MQTT_URL)
    client = paho.Client(CallbackAPIVersion.VERSION2)
    if url.username:
        client.username_pw_set(url.username, url.password)
    if url.scheme in ("mqtts", "ssl"):
        client.tls_set()
    try:
        client.connect(url.hostname or "127.0.0.1", url.port or 1883)
        client.loop_start()
        sent = [client.publish(topic, json.dumps(payload), qos=AT_LEAST_ONCE) for topic, payload in messages]
        for message in sent:
            message.wait_for_publish(ANSWER_WITHIN_S)
            if not message.is_published():
                raise BrokerAway("The broker did not acknowledge a message in time.")
    except (OSError, ValueError, RuntimeError) as error:
        raise BrokerAway(f"{type(error).__name__}: {error}") from error
    finally:
        client.disconnect()
        client.loop_stop()
