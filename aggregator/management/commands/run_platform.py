"""Run the whole platform on this machine: servers, migrations, every process, and if wanted the demonstration."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import get_commands
from django.core.management.base import BaseCommand, CommandError

from aggregator.management.supervisor.launching import ReservedPort
from aggregator.management.supervisor.output import Terminal
from aggregator.management.supervisor.processes import ProcessSpec, Stage, process_environment
from aggregator.management.supervisor.run_directory import RunDirectory, first_free
from aggregator.management.supervisor.servers import BY_VARIABLE, EmbeddedServers
from aggregator.management.supervisor.supervisor import Supervisor
from aggregator.management.supervisor.table import (
    MIGRATE,
    REPOSITORY,
    DemoOptions,
    Ports,
    demonstration_processes,
    management_command,
    platform_processes,
)
from aggregator.management.supervisor.template import ClusterTemplate, platform_template
from common.errors import PlatformError

DEFAULT_WEB_PORT = 8000
DEMONSTRATION_VEHICLES = 80


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        mode = parser.add_mutually_exclusive_group(required=True)
        mode.add_argument("--empty", action="store_true", help="an empty database and nothing simulated")
        mode.add_argument("--demo", action="store_true", help="a seeded portfolio, its digital twin, and a grid event")
        parser.add_argument("--for", dest="seconds", type=float, help="end the demonstration after this many seconds")
        parser.add_argument(
            "--vehicles",
            type=int,
            default=DEMONSTRATION_VEHICLES,
            help="size of the demonstration: cars, each with a charger of its own (default 80)",
        )
        parser.add_argument("--port", type=int, default=None, help=f"web port (default {DEFAULT_WEB_PORT})")
        parser.add_argument("--without", action="append", default=[], metavar="NAME", help="leave a process out")
        parser.add_argument("--all-logs", action="store_true", help="show every line of every log in a demonstration")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            sys.exit(self.run_platform(options))
        except PlatformError as error:
            raise CommandError(str(error)) from error

    def run_platform(self, options: dict[str, Any]) -> int:
        demo = bool(options["demo"])
        check_options(options)
        outside = outside_servers()
        directory = run_directory(demo=demo)
        terminal = Terminal(important_only=demo and not options["all_logs"])
        reserved = reserve_ports(options["port"], demo=demo)
        ports = Ports(**{name: port.number for name, port in reserved.items()})
        specs = platform_processes(ports, directory.path)
        if demo:
            specs += demonstration_processes(ports, DemoOptions(options["vehicles"], options["seconds"]))
        specs = selected(specs, options["without"])
        servers = EmbeddedServers(log_dir=directory.logs, given=outside, template=kept_template(outside))
        if servers.postgresql is not None and servers.postgresql.migrated:
            specs = [spec for spec in specs if spec.name != MIGRATE]
        environment = {**servers.environment(), **platform_variables(ports, directory.path)}
        servers.workspace.remove_with_us(*directory.published)
        supervisor = Supervisor(
            servers=servers,
            specs=specs,
            environment=process_environment(environment),
            log_dir=directory.logs,
            working_directory=REPOSITORY,
            terminal=terminal,
            reserved_ports=list(reserved.values()),
        )

        def announce() -> None:
            directory.publish(environment=environment, addresses=addresses(ports, environment))
            for text in (banner(ports, directory, demo=demo), *(logins(directory) if demo else [])):
                terminal.say(text)

        try:
            # whoever watches a demonstration need not wait for what works in the background
            return supervisor.run(on_ready=announce, ready_before=Stage.BACKGROUND if demo else Stage.STORY)
        finally:
            directory.close()


def check_options(options: dict[str, Any]) -> None:
    """Raises CommandError that names the option."""
    if options["seconds"] is not None and not options["demo"]:
        raise CommandError("--for: only a demonstration ends by itself. Use it together with --demo.")
    if options["seconds"] is not None and options["seconds"] <= 0:
        raise CommandError("--for: give a positive number of seconds.")
    if options["vehicles"] < 1:
        raise CommandError("--vehicles: give a positive number.")


def run_directory(*, demo: bool) -> RunDirectory:
    """`.run` for `make up`; a demonstration takes a folder of its own, so that both can run at once."""
    if demo and "PLATFORM_RUN_DIR" not in os.environ:
        return first_free(Path(settings.RUN_DIR) / "demo")
    return RunDirectory(Path(settings.RUN_DIR))


def reserve_ports(web_port: int | None, *, demo: bool) -> dict[str, ReservedPort]:
    """Raises CommandError if the web port that was asked for is taken; a demonstration then looks for another."""
    try:
        web = ReservedPort(web_port or DEFAULT_WEB_PORT)
    except (OSError, OverflowError) as error:
        if web_port is not None or not demo:
            raise CommandError(
                f"--port: {web_port or DEFAULT_WEB_PORT} cannot be used ({error}). Give another, as in PORT=8001."
            ) from error
        web = ReservedPort()
    return {"web": web, "ocpp": ReservedPort()}


def outside_servers() -> dict[str, str]:
    """Servers given by URL. What settings took from a run directory belongs to another run, and does not count."""
    left_by_another_run: dict[str, str] = {}
    if (env_file := Path(settings.RUN_DIR) / "env").exists():
        pairs = (line.partition("=") for line in env_file.read_text().splitlines())
        left_by_another_run = {name: value for name, _, value in pairs}
    given = {name: os.environ.get(name, "") for name in BY_VARIABLE}
    return {name: url for name, url in given.items() if url and url != left_by_another_run.get(name)}


def kept_template(outside: dict[str, str]) -> ClusterTemplate | None:
    """A migrated cluster to begin with; None where PostgreSQL runs elsewhere and must be migrated itself."""
    try:
        return None if "DATABASE_URL" in outside else platform_template()
    except RuntimeError as error:
        raise CommandError(str(error)) from error


def selected(specs: list[ProcessSpec], without: list[str]) -> list[ProcessSpec]:
    """The table without some lines. Raises CommandError for a name that is no line, or a command that does not exist."""
    names = {spec.name for spec in specs}
    unknown = set(without) - names
    if unknown:
        raise CommandError(f"--without: no process is called {', '.join(sorted(unknown))}. There are {sorted(names)}.")
    kept = [spec for spec in specs if spec.name not in without]
    missing = {management_command(spec) for spec in kept} - {None} - set(get_commands())
    if missing:
        raise CommandError(
            f"The process table names management commands that do not exist: {', '.join(sorted(map(str, missing)))}."
        )
    return kept


def platform_variables(ports: Ports, run_dir: Path) -> dict[str, str]:
    """What processes of this run, and `manage.py` beside it, read apart from the servers' addresses."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "PLATFORM_RUN_DIR": str(run_dir.resolve()),
        "PLATFORM_WEB_URL": ports.web_url,
        "OCPP_URL": ports.ocpp_url,
    }


def addresses(ports: Ports, environment: dict[str, str]) -> dict[str, object]:
    """The content of platform.json: where to knock, without any password."""
    broker = environment["MQTT_URL"].rpartition("@")[2]
    return {
        "web": ports.web_url,
        "api": f"{ports.web_url}/api",
        "ocpp": ports.ocpp_url,
        "mqtt": broker if "://" in broker else f"mqtt://{broker}",
        "modbus": {"role": "client", "register": "manage.py create_pack --host HOST --port PORT"},
    }


def logins(directory: RunDirectory) -> list[str]:
    """How to log in to a demonstration, whose passwords were made for this run alone."""
    path = directory.path / "logins.json"
    if not path.exists():
        return []
    made = json.loads(path.read_text())
    return [f"log in as {role}: {login['email']}, password {login['password']}" for role, login in made.items()]


def banner(ports: Ports, directory: RunDirectory, *, demo: bool) -> str:
    what = "The portfolio lives at" if demo else "The platform is ready at"
    shell = f"PLATFORM_RUN_DIR={directory.path} " if demo else ""
    return (
        f"{what} {ports.web_url}   (logs: {directory.logs}, shell: {shell}.venv/bin/python manage.py …, stop: Ctrl-C)"
    )
