"""Listens at the brokers of outside OpenADR VTNs, and has a VTN read when something changed there."""

from __future__ import annotations

import logging
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from django.core.management.base import BaseCommand
from django.db import close_old_connections
from django.db.utils import InterfaceError, OperationalError

from common.errors import PlatformError
from grid.operations.openadr.outside import vtns_with_broker

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
# tokens hold an hour: who connects again later needs a new one
RENEW_EVERY_S = 1800.0
RETRY_AFTER_S = 30.0


@dataclass
class Connection:
    """A broker that is listened to, or was tried; until when."""

    client: paho.Client | None
    until: float


class Command(BaseCommand):
    help = "Listen at the brokers of outside OpenADR VTNs."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        connections: dict[int, Connection] = {}
        self.stdout.write("READY OpenADR listener")
        self.stdout.flush()
        while not stopping.is_set():
            try:
                close_old_connections()
                keep_listening(connections)
            except (OperationalError, InterfaceError) as error:
                logger.warning("the database is away (%s); trying again", str(error).strip().splitlines()[0])
            stopping.wait(LOOK_EVERY_S)
        for connection in connections.values():
            close(connection)


def keep_listening(connections: dict[int, Connection]) -> None:
    """Listen to every VTN that has a broker, and to none that has gone."""
    wanted = {vtn.pk: vtn for vtn in vtns_with_broker()}
    now = time.monotonic()
    for key in [key for key, held in connections.items() if key not in wanted or held.until <= now]:
        close(connections.pop(key))
    for key in wanted.keys() - connections.keys():
        # most portfolios are at no outside VTN: only who is loads what it takes
        from aggregator.tasks import request_vtn_reading
        from grid.markets.openadr_ven.listening import listen

        try:
            connections[key] = Connection(listen(wanted[key], request_vtn_reading), now + RENEW_EVERY_S)
        except (PlatformError, OSError, KeyError, TypeError, ValueError) as error:
            logger.warning("no broker of %s: %s; it is polled", wanted[key].name, error)
            connections[key] = Connection(None, now + RETRY_AFTER_S)


def close(connection: Connection) -> None:
    """Stop listening."""
    if connection.client is not None:
        connection.client.disconnect()
        connection.client.loop_stop()
