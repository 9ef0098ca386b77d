"""The throw-away servers: they keep strangers out, survive the death of a process, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as paho
import psutil
import psycopg
import pytest
import redis
from paho.mqtt.enums import CallbackAPIVersion
from redis.backoff import NoBackoff
from redis.retry import Retry

from aggregator.management.supervisor.launching import wait_until
from aggregator.management.supervisor.servers import EmbeddedServers
from aggregator.management.supervisor.workspace import sweep
from common.errors import InvalidInput
from fleet.operations.broker_access import hash_broker_password, read_password_file, write_broker_credentials
from tests.conftest import BrokerAccess

ONCE = Retry(NoBackoff(), 0)
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def own_servers() -> Iterator[EmbeddedServers]:
    """Servers apart from those of the other tests, because these tests kill them."""
    servers = EmbeddedServers(given={})
    servers.launch()
    servers.wait_ready()
    yield servers
    servers.stop()


def running_below(folder: Path) -> list[int]:
    """Processes whose command line or working directory lies in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if any(str(folder) in word for word in process.cmdline()) or process.cwd().startswith(str(folder)):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_stop_leaves_no_process_and_no_file() -> None:
    servers = EmbeddedServers(given={})
    servers.launch()
    servers.wait_ready()
    folder = servers.workspace.path
    assert len(running_below(folder)) >= 3
    servers.stop()
    assert not folder.exists()
    assert running_below(folder) == []


def test_kill_of_the_supervisor_leaves_no_process_and_no_file() -> None:
    program = """
        import sys, time
        from aggregator.management.supervisor.servers import EmbeddedServers
        servers = EmbeddedServers(given={})
        servers.launch()
        servers.wait_ready()
        print(servers.workspace.path, flush=True)
        time.sleep(600)
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    owner.stdout.close()
    assert len(running_below(folder)) >= 3
    owner.kill()
    owner.wait()
    assert wait_until(lambda: not folder.exists() and not running_below(folder), timeout_s=30)


def test_sweep_removes_what_a_dead_owner_left_and_spares_the_living(own_servers: EmbeddedServers) -> None:
    program = """
        import os, time
        from aggregator.management.supervisor.workspace import Workspace
        workspace = Workspace()
        workspace._guardian.kill()  # as if everything had been killed at once
        print(workspace.path, flush=True)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=REPOSITORY, capture_output=True, text=True
    )
    left = Path(done.stdout.strip())
    assert left.is_dir()
    assert left in sweep()
    assert not left.exists()
    assert own_servers.workspace.path.exists()


def test_killed_postgresql_comes_back_with_its_data(own_servers: EmbeddedServers) -> None:
    server = own_servers.server("postgresql")
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (value integer)")
        connection.execute("INSERT INTO kept VALUES (42)")
        kill_and_relaunch(own_servers, "postgresql")
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchall() == [(42,)]


def test_killed_valkey_comes_back_with_its_queue(own_servers: EmbeddedServers) -> None:
    url = own_servers.server("valkey").url
    redis.Redis.from_url(url).rpush("queue", "task")
    kill_and_relaunch(own_servers, "valkey")
    assert redis.Redis.from_url(url).lrange("queue", 0, -1) == [b"task"]


def kill_and_relaunch(servers: EmbeddedServers, name: str) -> None:
    server = servers.server(name)
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    for _ in range(20):  # orphaned back-ends may need a moment to leave the shared memory
        server.launch()
        if wait_until(server.is_ready, timeout_s=3):
            return
    raise AssertionError(server.failure())


def test_servers_listen_on_the_loopback_address_only(own_servers: EmbeddedServers) -> None:
    ports = {server.port for server in own_servers.servers}
    listening = [c.laddr for c in psutil.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening if address.port in ports} == {"127.0.0.1"}


def test_wrong_passwords_are_refused(own_servers: EmbeddedServers) -> None:
    database = urlsplit(own_servers.server("postgresql").url)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host=database.hostname, port=database.port, user="platform", password="guess", dbname="platform"
        )
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=own_servers.server("valkey").port, password="guess", retry=ONCE).ping()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=own_servers.server("valkey").port, retry=ONCE).ping()


def test_database_role_is_no_superuser(own_servers: EmbeddedServers) -> None:
    with psycopg.connect(own_servers.server("postgresql").url) as connection:
        row = connection.execute("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row == (False, True)


class Listener:
    """An MQTT client that notes what it is told."""

    def __init__(self, broker: BrokerAccess, user: str | None, password: str | None, *, will_topic: str = "") -> None:
        self.answer: str | None = None
        self.received: list[tuple[str, bytes]] = []
        self.subscribed: list[bool] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        if user is not None:
            self.client.username_pw_set(user, password)
        if will_topic:
            self.client.will_set(will_topic, b"gone")
        self.client.on_connect = lambda _c, _u, _f, reason, _p: setattr(self, "answer", str(reason))
        self.client.on_message = lambda _c, _u, message: self.received.append((message.topic, message.payload))
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: self.subscribed.append(not reasons[0].is_failure)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        wait_until(lambda: self.answer is not None, timeout_s=10)

    def subscribe(self, topic: str) -> None:
        before = len(self.subscribed)
        self.client.subscribe(topic, qos=1)
        assert wait_until(lambda: len(self.subscribed) > before, timeout_s=10)

    def publish(self, topic: str, payload: bytes) -> None:
        self.client.publish(topic, payload, qos=1).wait_for_publish(timeout=10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def listeners() -> Iterator[list[Listener]]:
    opened: list[Listener] = []
    yield opened
    for listener in opened:
        listener.close()


@pytest.mark.parametrize(("user", "password"), [("charger-1", "wrong"), ("stranger", "secret"), (None, None)])
def test_broker_refuses_strangers(
    mqtt_broker: BrokerAccess, listeners: list[Listener], user: str | None, password: str | None
) -> None:
    mqtt_broker.add_device("charger-1", "right")
    listeners.append(Listener(mqtt_broker, user, password))
    assert listeners[0].answer in {"Not authorized", "Bad user name or password"}


def test_device_registered_while_the_broker_runs_speaks_in_its_own_branch_only(
    mqtt_broker: BrokerAccess, listeners: list[Listener]
) -> None:
    mqtt_broker.add_device("charger-2", "two")
    mqtt_broker.add_device("charger-3", "three")
    platform = Listener(mqtt_broker, mqtt_broker.user, mqtt_broker.password)
    two, three = Listener(mqtt_broker, "charger-2", "two"), Listener(mqtt_broker, "charger-3", "three")
    listeners += [platform, two, three]
    assert [listener.answer for listener in listeners] == ["Success"] * 3
    for own in ("charger-2", "charger-3"):  # other tests' devices share the broker
        platform.subscribe(f"v2g/v1/devices/{own}/#")
    two.subscribe("v2g/v1/devices/charger-2/down/#")
    three.subscribe("v2g/v1/devices/charger-2/down/#")
    three.subscribe("v2g/v1/devices/+/down/#")
    three.subscribe("#")

    three.publish("v2g/v1/devices/charger-2/up/telemetry", b"forged")
    three.publish("v2g/v1/devices/charger-2/down/set-point", b"forged")
    two.publish("v2g/v1/devices/charger-2/up/telemetry", b"true")
    platform.publish("v2g/v1/devices/charger-2/down/set-point", b"7 kW")

    assert wait_until(lambda: bool(two.received) and len(platform.received) >= 2, timeout_s=10)
    time.sleep(0.3)  # whatever is wrongly let through arrives in the same order, at about the same time
    assert two.received == [("v2g/v1/devices/charger-2/down/set-point", b"7 kW")]
    assert [payload for _, payload in platform.received] == [b"true", b"7 kW"]
    assert three.received == []


def test_device_registered_before_the_broker_starts_is_let_in(listeners: list[Listener]) -> None:
    servers = EmbeddedServers(given={"DATABASE_URL": "elsewhere", "REDIS_URL": "elsewhere"})
    credentials_file = Path(servers.environment()["MQTT_CREDENTIALS_FILE"])
    write_broker_credentials(credentials_file, {"early-charger": hash_broker_password("early")})
    servers.launch()
    try:
        servers.wait_ready()
        url = urlsplit(servers.environment()["MQTT_URL"])
        access = BrokerAccess(url.hostname or "", url.port or 0, "", "", credentials_file, lambda *_: None)
        listeners.append(Listener(access, "early-charger", "early"))
        assert listeners[0].answer == "Success"
    finally:
        servers.stop()


def test_last_will_on_a_foreign_topic_tells_nobody(mqtt_broker: BrokerAccess, listeners: list[Listener]) -> None:
    mqtt_broker.add_device("charger-4", "four")
    platform = Listener(mqtt_broker, mqtt_broker.user, mqtt_broker.password)
    listeners.append(platform)
    for own in ("charger-4", "charger-5"):
        platform.subscribe(f"v2g/v1/devices/{own}/#")
    liar = Listener(mqtt_broker, "charger-4", "four", will_topic="v2g/v1/devices/charger-5/up/presence")
    honest = Listener(mqtt_broker, "charger-4", "four", will_topic="v2g/v1/devices/charger-4/up/presence")
    for listener in (liar, honest):
        listener.client.loop_stop()
        socket = listener.client.socket()
        if socket is not None:
            socket.close()
    assert wait_until(lambda: bool(platform.received), timeout_s=30)
    assert platform.received == [("v2g/v1/devices/charger-4/up/presence", b"gone")]


@pytest.mark.parametrize("identity", ["platform", "a/b", "+", "#", "two\nlines", "", "x" * 65, "a:b", ".hidden"])
def test_names_that_would_widen_a_topic_are_refused(tmp_path: Path, identity: str) -> None:
    with pytest.raises(InvalidInput, match="identity"):
        write_broker_credentials(tmp_path / "passwords", {identity: hash_broker_password("secret")})


def test_clear_text_never_reaches_the_password_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="password_hash"):
        write_broker_credentials(tmp_path / "passwords", {"charger-1": "secret"})


def test_writing_credentials_keeps_other_users(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    write_broker_credentials(path, {"one": hash_broker_password("1"), "two": hash_broker_password("2")})
    before = read_password_file(path)
    replacement = hash_broker_password("new")
    write_broker_credentials(path, {"two": replacement})
    assert read_password_file(path) == {"one": before["one"], "two": replacement}
    assert path.stat().st_mode & 0o077 == 0
