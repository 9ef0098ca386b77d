"""The process table: every process of the platform is one line here, and one file in some `management/commands/`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from aggregator.management.supervisor.launching import LOOPBACK
from aggregator.management.supervisor.processes import ProcessSpec, Stage

REPOSITORY = Path(__file__).resolve().parents[3]
MIGRATE = "migrate"
WORKER_PROCESSES = 2
QUEUES = ("plans", "celery")


@dataclass(frozen=True)
class Ports:
    """What the platform listens on. Packs and meters are called by the platform, at addresses they were given."""

    web: int
    ocpp: int

    @property
    def web_url(self) -> str:
        return f"http://{LOOPBACK}:{self.web}"

    @property
    def ocpp_url(self) -> str:
        return f"ws://{LOOPBACK}:{self.ocpp}"


@dataclass(frozen=True)
class DemoOptions:
    """How large the demonstration is, and how long; None: until it is interrupted."""

    vehicles: int
    seconds: float | None


def manage(*words: str) -> tuple[str, ...]:
    """A management command as a process."""
    return (sys.executable, str(REPOSITORY / "manage.py"), *words)


def management_command(spec: ProcessSpec) -> str | None:
    """The management command that a line runs; None if it runs another program."""
    return spec.command[2] if spec.command[1].endswith("manage.py") else None


def platform_processes(ports: Ports, run_dir: Path) -> list[ProcessSpec]:
    """The platform itself, with nothing simulated."""
    return [
        ProcessSpec(MIGRATE, manage("migrate", "--no-input", "--verbosity=1"), Stage.SCHEMA, once=True),
        ProcessSpec("web", _granian(ports.web), Stage.PLATFORM, ready_url=ports.web_url),
        ProcessSpec(
            "ocpp_gateway",
            manage("ocpp_gateway", "--host", LOOPBACK, "--port", str(ports.ocpp)),
            Stage.FIELD,
            ready_port=ports.ocpp,
        ),
        ProcessSpec("modbus_gateway", manage("modbus_gateway"), Stage.FIELD),
        ProcessSpec("mqtt_gateway", manage("mqtt_gateway"), Stage.FIELD),
        # hears of arrivals as they happen, so it is there before the first
        ProcessSpec("tracking_loop", manage("tracking_loop"), Stage.FIELD),
        ProcessSpec("worker", _celery_worker(), Stage.BACKGROUND, ready_line=r"\bready\.$"),
        ProcessSpec("beat", _celery_beat(run_dir), Stage.BACKGROUND, ready_line=r"beat: Starting"),
        ProcessSpec("openadr_listener", manage("openadr_listener"), Stage.BACKGROUND),
    ]


def demonstration_processes(ports: Ports, options: DemoOptions) -> list[ProcessSpec]:
    """The portfolio, its digital twin, and the story; beside `platform_processes`."""
    seconds = [] if options.seconds is None else ["--for", f"{options.seconds:g}"]
    return [
        ProcessSpec(
            "seed_portfolio",
            manage("seed_portfolio", "--vehicles", str(options.vehicles), "--hub", "--logins"),
            Stage.PLATFORM,
            once=True,
        ),
        ProcessSpec("twin_packs", manage("twin_packs"), Stage.FIELD),
        ProcessSpec("twin_chargers", manage("twin_chargers"), Stage.FIELD),
        ProcessSpec("twin_mqtt_chargers", manage("twin_mqtt_chargers"), Stage.FIELD),
        ProcessSpec("twin_computers", manage("twin_computers"), Stage.BACKGROUND),
        ProcessSpec("demo_story", manage("demo_story", *seconds), Stage.STORY, story=True),
    ]


def _granian(port: int) -> tuple[str, ...]:
    options = ["--interface", "wsgi", "--host", LOOPBACK, "--port", str(port), "--workers", "1", "--no-ws"]
    options += ["--blocking-threads", "4", "--respawn-failed-workers", "--workers-kill-timeout", "2"]
    return (sys.executable, "-m", "granian", *options, "aggregator.wsgi:application")


def _celery(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "celery", "--app", "aggregator.celery", *words, "--loglevel", "INFO")


def _celery_worker() -> tuple[str, ...]:
    options = ["--concurrency", str(WORKER_PROCESSES), "--queues", ",".join(QUEUES)]
    return _celery("worker", *options, "--without-gossip", "--without-mingle")


def _celery_beat(run_dir: Path) -> tuple[str, ...]:
    return _celery("beat", "--schedule", str(run_dir / "beat-schedule"), "--pidfile", "")
