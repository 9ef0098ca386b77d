"""Meter readings a second from chargers' MQTT messages to committed rows, against binary COPY of the same rows.

    python -m benchmarks.mqtt_ingest [--messages 20000] [--devices 20] [--through-broker 20000]

Prints one JSON line. `readings_per_s` is the gateway's own work without a broker in front of it (parse, check, store,
one reading a message, one thread); `through_broker_per_s` has a real broker and QoS 1 on both sides: the gateway takes
what devices said while it was away, `…_per_cpu_s` by its own processor time. Uses a PostgreSQL, a Valkey and a broker of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import threading
import time
from datetime import UTC, datetime, timedelta

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from aggregator.management.supervisor.mqtt_broker import find_mosquitto
from aggregator.management.supervisor.servers import EmbeddedServers
from fleet.operations.broker_access import hash_broker_password, write_broker_credentials

PASSWORD = "a-secret-of-the-benchmark"
COLUMNS = "asset_id, measured_at, power_kw, import_kwh, export_kwh, soc_fraction, temperature_c, flags, received_at"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--through-broker", type=int, default=20_000)
    options = parser.parse_args()
    servers = EmbeddedServers(given={})
    servers.launch()
    try:
        servers.wait_ready()
        os.environ.update(servers.environment())
        os.environ["DJANGO_SETTINGS_MODULE"] = "aggregator.settings.test"
        print(json.dumps(measure(options)))
    finally:
        servers.stop()


def measure(options: argparse.Namespace) -> dict[str, float | str]:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("upkeep_partitions")
    identities = [f"B-{number:03d}" for number in range(options.devices)]
    make_chargers(identities)
    alone = rate_of_ingest(identities, options.messages)
    copied = rate_of_copy(options.messages)
    through, per_cpu = rate_through_broker(identities, options.through_broker)
    return {
        "readings_per_s": round(alone),
        "copy_rows_per_s": round(copied),
        "ratio_to_copy": round(alone / copied, 3),
        "through_broker_per_s": round(through),
        "through_broker_per_cpu_s": round(per_cpu),
        "broker": "mosquitto" if find_mosquitto() else "amqtt",
        "devices": options.devices,
    }


def payload(at: datetime, number: int) -> bytes:
    measured = {
        "evse": 1,
        "at": at.isoformat(),
        "power_kw": -5.25,
        "import_kwh": 100.0,
        "export_kwh": 50 + number / 1000,
        "soc_fraction": 0.5,
    }
    return json.dumps({"measurements": [measured]}).encode()


class Silent:
    """Nobody is answered."""

    def tell(self, identity: str, kind: str, payload: bytes) -> None:
        raise SystemExit(f"{identity} is told {payload!r}")

    def clear_setpoint(self, identity: str, evse: int) -> None:
        pass


def rate_of_ingest(identities: list[str], count: int) -> float:
    from fleet.devices.mqtt.ingest import Ingest, Received
    from fleet.devices.mqtt.messages import ROOT

    now = datetime.now(UTC)
    acknowledged = threading.Semaphore(0)
    received = [
        Received(
            f"{ROOT}/{identities[i % len(identities)]}/up/meter",
            payload(now - timedelta(milliseconds=count - i), i),
            now,
            False,
            acknowledged.release,
        )
        for i in range(count)
    ]
    ingest = Ingest(gateway_identity="benchmark", answers=Silent())
    started = time.perf_counter()
    ingest.start()
    for item in received:
        ingest.submit(item)
    for _ in received:
        acknowledged.acquire()
    rate = count / (time.perf_counter() - started)
    ingest.stop()
    assert ingest.stored == count, f"{ingest.stored} of {count} were stored"
    return rate


def rate_of_copy(count: int) -> float:
    from django.db import connection

    from fleet.models import Evse

    asset_id, now = Evse.objects.first().asset_id, datetime.now(UTC)
    rows = [
        (asset_id, now - timedelta(days=1, milliseconds=i), -5.25, 100.0, 50.0, 0.5, None, 0, now) for i in range(count)
    ]
    started = time.perf_counter()
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY fleet_reading ({COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(["int8", "timestamptz", *["float8"] * 5, "int2", "timestamptz"])
        for row in rows:
            copy.write_row(row)
    return count / (time.perf_counter() - started)


def rate_through_broker(identities: list[str], count: int) -> tuple[float, float]:
    from django.conf import settings

    write_broker_credentials(settings.MQTT_CREDENTIALS_FILE, dict.fromkeys(identities, hash_broker_password(PASSWORD)))
    clients = [device(identity) for identity in identities]
    # first the gateway's session, then everything is said while it is away: what is measured is how fast it takes it, and
    # not how fast a program in Python can say it
    asyncio.run(serve(0))
    publish(clients, count)
    rates = asyncio.run(serve(count))
    for client in clients:
        client.disconnect()
        client.loop_stop()
    return rates


async def serve(count: int) -> tuple[float, float]:
    """Readings a second, and a second of processor, until so many are stored."""
    from django.conf import settings

    from fleet.devices.mqtt.server import MqttGateway

    stop, ready = asyncio.Event(), asyncio.Event()
    gateway = MqttGateway(identity="benchmark", session="benchmark", broker_url=settings.MQTT_URL, ready=ready.set)
    started, used = time.perf_counter(), time.process_time()
    running = asyncio.create_task(gateway.run(stop))
    await asyncio.wait_for(ready.wait(), 20)
    while gateway.readings_stored < count and time.perf_counter() - started < 120:
        await asyncio.sleep(0.01)
    stored = gateway.readings_stored
    rates = stored / (time.perf_counter() - started), stored / (time.process_time() - used)
    stop.set()
    await running
    return rates


def device(identity: str) -> paho.Client:
    from django.conf import settings

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=identity)
    client.username_pw_set(identity, PASSWORD)
    address = settings.MQTT_URL.rpartition("@")[2]
    host, _, port = address.partition(":")
    client.connect(host, int(port))
    client.loop_start()
    while not client.is_connected():
        time.sleep(0.01)
    return client


def publish(clients: list[paho.Client], count: int) -> None:
    from fleet.devices.mqtt.messages import ROOT

    now, last = datetime.now(UTC), []
    for i in range(count):
        client = clients[i % len(clients)]
        topic = f"{ROOT}/B-{i % len(clients):03d}/up/meter"
        sent = client.publish(topic, payload(now - timedelta(milliseconds=count - i), i), qos=1)
        if i >= count - len(clients):
            last.append(sent)
    for sent in last:
        sent.wait_for_publish(60)


def make_chargers(identities: list[str]) -> None:
    from fleet.models import Asset, AssetKind, Charger, ChargerProtocol, Evse, GridNode, Region, Site

    region = Region.objects.create(code="B", name="B", country="JP", time_zone="Asia/Tokyo", currency="JPY")
    node = GridNode.objects.create(region=region, code="B", name="B")
    site = Site.objects.create(
        identity="B", name="B", kind="depot", grid_node=node, time_zone="UTC", import_limit_kw=1, export_limit_kw=1
    )
    for identity in identities:
        charger = Charger.objects.create(
            identity=identity, site=site, protocol=ChargerProtocol.MQTT, password_hash=hash_broker_password(PASSWORD)
        )
        asset = Asset.objects.create(identity=f"{identity}/1", kind=AssetKind.EVSE, site=site)
        Evse.objects.create(asset=asset, charger=charger, number=1, max_charge_kw=11, max_discharge_kw=11)


if __name__ == "__main__":
    main()
