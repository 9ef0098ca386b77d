"""Real servers for the tests: one PostgreSQL, Valkey and MQTT broker for a run, private to it and thrown away after.

- A test that needs the database asks for it as ever (`db`, `@pytest.mark.django_db`).
- One that needs Valkey alone asks for `servers`; one that needs the broker asks for `mqtt_broker`.
- One that starts processes of the platform hands them `platform_environment`.

Alone, a run starts what its tests ask for, when they ask. With xdist the controlling process starts the stores, and
each worker has a database, a Valkey number and a broker of its own: devices and gateways hear all that passes one. Pure tests (`tests/unit` alone) start nothing, not even Django.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psycopg
import pytest
from psycopg import sql

from aggregator.management.supervisor.servers import EmbeddedServers
from aggregator.management.supervisor.template import platform_template
from fleet.operations.broker_access import hash_broker_password, write_broker_credentials

REPOSITORY = Path(__file__).resolve().parents[1]
UNIT_TESTS = REPOSITORY / "tests" / "unit"
NO_CHROMIUM = "no Chromium on this machine"
NO_THIRD_PARTY = "the third-party charge point is not installed"
STORES = ("postgresql", "valkey")
_servers_key = pytest.StashKey[EmbeddedServers]()
# how long an example takes says how busy the machine is, not whether the code is right
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    if only_pure_tests(config) or config.option.help:
        return
    worker = getattr(config, "workerinput", {}).get("workerid")
    if worker is None:
        servers = EmbeddedServers(given={}, template=platform_template())
        config.stash[_servers_key] = servers
        export(servers)
        if getattr(config.option, "numprocesses", None):
            launch(config, *STORES)
    else:
        use_own_valkey_number(1 + int(worker.removeprefix("gw")) % 15)
        config.stash[_servers_key] = use_own_broker()
    set_up_django()


def use_own_broker() -> EmbeddedServers:
    """A broker for a worker of xdist, which starts when a test asks for it; see `use_own_valkey_number` on settings."""
    from django.conf import settings

    stores = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
    servers = EmbeddedServers(given=stores)
    broker = servers.environment()
    os.environ.update(broker)
    settings.MQTT_URL, settings.MQTT_CREDENTIALS_FILE = broker["MQTT_URL"], broker["MQTT_CREDENTIALS_FILE"]
    return servers


def use_own_valkey_number(number: int) -> None:
    """Let a worker of xdist keep its cache, states and queues apart from the others'.

    pytest-django has read the settings before any of our code runs in a worker, so the environment alone is too late.
    """
    from django.conf import settings

    url = urlunsplit(urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{number}"))
    os.environ["REDIS_URL"] = url
    settings.REDIS_URL = settings.CELERY_BROKER_URL = url
    settings.CACHES["default"]["LOCATION"] = url


def find_chromium() -> str | None:
    """The browser that browser tests drive: CHROMIUM if set, else the system's."""
    chosen = os.environ.get("CHROMIUM")
    names = [chosen] if chosen else ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    return next((found for name in names if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """For playwright's `executable_path`. Ask for it in tests marked `browser` only."""
    found = find_chromium()
    assert found is not None
    return found


def find_node() -> str | None:
    """The Node.js with which the third-party charge point runs, if that has been installed (`make third-party`)."""
    if not (REPOSITORY / "tests" / "third_party" / "node_modules" / ".ready").exists():
        return None
    own = REPOSITORY / ".venv-node" / "bin" / "node"
    return shutil.which("node") or (str(own) if own.exists() else None)


@pytest.fixture(scope="session")
def node_path() -> str:
    """Node.js. Ask for it in tests marked `third_party` only."""
    found = find_node()
    assert found is not None
    return found


# marker -> (whether what its tests need is there, what to say where it is not)
NEEDS = {
    "browser": (find_chromium, NO_CHROMIUM),
    "third_party": (find_node, NO_THIRD_PARTY),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, (find, reason) in NEEDS.items():
        if item.get_closest_marker(marker) and find() is None:
            if os.environ.get("CI", "").lower() in {"1", "true"}:
                pytest.fail(f"{reason}, and in continuous integration it has to be there", pytrace=False)
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    remedies = {
        NO_CHROMIUM: "Install Chromium, or name one with CHROMIUM=/path/to/it, and run them again.",
        NO_THIRD_PARTY: "Run `make third-party` where the npm registry can be reached, and run them again.",
    }
    for reason, remedy in remedies.items():
        skipped = [report for report in terminalreporter.stats.get("skipped", []) if reason in str(report.longrepr)]
        if skipped:
            terminalreporter.write_sep("!", f"{len(skipped)} TESTS WERE LEFT OUT: {reason}", red=True, bold=True)
            terminalreporter.write_line(remedy)


def pytest_unconfigure(config: pytest.Config) -> None:
    servers = config.stash.get(_servers_key, None)
    if servers is not None:
        servers.stop()


def only_pure_tests(config: pytest.Config) -> bool:
    """Whether the command line names nothing but tests below tests/unit."""
    named = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args]
    return bool(named) and all(path.resolve().is_relative_to(UNIT_TESTS) for path in named)


def export(servers: EmbeddedServers) -> None:
    """Let settings, and the workers of xdist, find the servers of this run and no other."""
    os.environ.update(servers.environment())
    os.environ["PLATFORM_RUN_DIR"] = str(servers.workspace.path / "run")
    os.environ["SECRET_KEY"] = secrets.token_urlsafe(50)
    os.environ["DJANGO_SETTINGS_MODULE"] = "aggregator.settings.test"


def set_up_django() -> None:
    import django

    django.setup()


def launch(config: pytest.Config, *names: str) -> None:
    servers = config.stash[_servers_key]
    database = servers.postgresql  # a worker of xdist has none: the controlling process runs it
    to_migrate = database is not None and "postgresql" in names and database.process is None and not database.migrated
    servers.launch(names)
    servers.wait_ready()
    if database is not None and to_migrate:
        migrate = [sys.executable, "manage.py", "migrate", "--no-input", "--verbosity=0"]
        done = subprocess.run(migrate, cwd=REPOSITORY, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.exit(f"the migrations fail:\n{done.stdout}{done.stderr}", returncode=1)
        database.keep_as_template()


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> None:
    """PostgreSQL and Valkey run."""
    launch(request.config, *STORES)


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The test database exists already, as a copy of the migrated one; it goes with its server."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(servers: None, django_db_modify_db_settings_parallel_suffix: None) -> None:
    """The servers run and the test database exists before pytest-django looks for it."""
    from django.db import connection

    name = connection.creation._get_test_db_name()
    with psycopg.connect(os.environ["DATABASE_URL"], dbname="postgres", autocommit=True) as administration:
        template = sql.Identifier(connection.settings_dict["NAME"])
        administration.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), template))


@pytest.fixture
def platform_environment(servers: None, db: None) -> dict[str, str]:
    """The environment for processes of the platform that a test starts: its own database, not the development one.

    Such processes see committed rows only: mark the test `django_db(transaction=True)`.
    """
    from django.db import connection

    database = urlsplit(os.environ["DATABASE_URL"])
    own = urlunsplit(database._replace(path=f"/{connection.settings_dict['NAME']}"))
    return {**os.environ, "DATABASE_URL": own, "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class BrokerAccess:
    """How a test reaches the MQTT broker."""

    host: str
    port: int
    user: str
    password: str
    credentials_file: Path
    add_device: Callable[[str, str], None]


@pytest.fixture(scope="session")
def mqtt_broker(request: pytest.FixtureRequest) -> Iterator[BrokerAccess]:
    """The broker runs; `add_device(identity, password)` lets a device in while it does."""
    launch(request.config, "mqtt-broker")
    url = urlsplit(os.environ["MQTT_URL"])
    credentials_file = Path(os.environ["MQTT_CREDENTIALS_FILE"])

    def add_device(identity: str, password: str) -> None:
        write_broker_credentials(credentials_file, {identity: hash_broker_password(password)})

    yield BrokerAccess(
        host=url.hostname or "",
        port=url.port or 0,
        user=url.username or "",
        password=url.password or "",
        credentials_file=credentials_file,
        add_device=add_device,
    )
