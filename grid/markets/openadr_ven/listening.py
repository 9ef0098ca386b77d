"""Listening at the brokers of outside VTNs. A message only wakes: what counts is what the VTN says when it is asked."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from grid.markets.openadr_ven.client import VtnAway, VtnClient
from grid.markets.openadr_ven.reading import access_of
from grid.models import OutsideVtn
from grid.operations.openadr.outside import LOOPBACK

AT_LEAST_ONCE = 1


def listen(vtn: OutsideVtn, on_change: Callable[[int], None]) -> paho.Client:
    """Connect to a VTN's broker, subscribe to our node's events, and call `on_change` with the VTN's key at every message
    and after every connection, once the topics are heard: what was missed in between is read.

    Raises:
        VtnAway, VtnRefuses: the VTN does not tell how.
        OSError: the broker is away.
    """
    with VtnClient(access_of(vtn)) as api:
        told = api.request("GET", "/notifiers").json().get("MQTT")
        if not told or told["authentication"]["method"] == "CERTIFICATE":
            raise VtnAway(f"{vtn.name} has no broker that we can enter.")
        topics = _topics(api, vtn)
        token = api.token()
    url = urlsplit(told["URIS"][0])
    secure = url.scheme in ("mqtts", "ssl")
    if not secure and url.hostname not in LOOPBACK:
        raise VtnAway(f"The broker of {vtn.name} is not behind TLS.")
    client = paho.Client(CallbackAPIVersion.VERSION2)
    if told["authentication"]["method"] == "OAUTH2_BEARER_TOKEN":
        user = told["authentication"]["username"]
        client.username_pw_set(vtn.client_id if user == "{clientID}" else user, token)
    if secure:
        client.tls_set(tls_version=ssl.PROTOCOL_TLS_CLIENT)

    def connected(client: paho.Client, _: object, __: object, reason: object, ___: object) -> None:
        if not getattr(reason, "is_failure", False):
            client.subscribe([(topic, AT_LEAST_ONCE) for topic in topics])

    client.on_connect = connected
    client.on_subscribe = lambda *_: on_change(vtn.pk)
    client.on_message = lambda *_: on_change(vtn.pk)
    client.connect(url.hostname or "", url.port or (8883 if secure else 1883))
    client.loop_start()
    return client


def _topics(api: VtnClient, vtn: OutsideVtn) -> list[str]:
    found: list[str] = []
    for kind in ("events", "programs"):
        topics = api.request("GET", f"/notifiers/mqtt/topics/vens/{vtn.ven_id}/{kind}").json()["topics"]
        found += [topics["ALL"]] if topics.get("ALL") else [topic for topic in topics.values() if topic]
    return found
