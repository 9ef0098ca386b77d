"""What runs the platform names only what exists: the process table, docker-compose.yml, Dockerfile and deploy/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from aggregator.management.supervisor.processes import ProcessSpec
from aggregator.management.supervisor.table import (
    QUEUES,
    DemoOptions,
    Ports,
    demonstration_processes,
    management_command,
    platform_processes,
)
from fleet.operations.broker_access import MOSQUITTO_ACL

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
PORTS = Ports(web=8000, ocpp=9000)
TABLE = platform_processes(PORTS, Path("/tmp")) + demonstration_processes(PORTS, DemoOptions(80, 180.0))


def check_management_command(name: str, arguments: list[str]) -> None:
    """The command exists and takes these options; its parser ends the program otherwise."""
    commands = get_commands()
    assert name in commands, f"there is no management command {name}"
    command = load_command_class(str(commands[name]), name)
    command.create_parser("manage.py", name).parse_args(arguments)


@pytest.mark.parametrize("spec", TABLE, ids=lambda spec: spec.name)
def test_process_table_names_commands_and_options_that_exist(spec: ProcessSpec) -> None:
    name = management_command(spec)
    if name is not None:
        check_management_command(name, list(spec.command[3:]))
    else:
        assert spec.command[2] in {"granian", "celery"}


@pytest.mark.parametrize("service", sorted(OURS))
def test_service_runs_a_command_that_exists(service: str) -> None:
    program, *words = OURS[service]["command"]
    if program == "python":
        assert words[0] == "manage.py"
        check_management_command(words[1], words[2:])
    elif program == "granian":
        assert words[-1] == "aggregator.wsgi:application"
    else:
        assert program == "celery"
        assert words[:2] == ["--app", "aggregator.celery"]


def test_every_long_running_process_of_the_table_is_a_service() -> None:
    def role(command: list[str] | tuple[str, ...]) -> str:
        if "manage.py" in command[1]:
            return command[2]
        return next(word for word in command if word in {"granian", "worker", "beat"})

    table = {role(spec.command) for spec in platform_processes(PORTS, Path("/tmp"))}
    assert table == {role(service["command"]) for service in OURS.values()} - {"write_broker_users"}


def test_workers_serve_every_queue() -> None:
    served = set()
    for service in OURS.values():
        command = service["command"]
        if "--queues" in command:
            served |= set(command[command.index("--queues") + 1].split(","))
    assert served == set(QUEUES)


def test_every_variable_is_read_by_the_code() -> None:
    sources = "\n".join(
        path.read_text()
        for package in ("aggregator", "fleet", "grid", "compute_market", "manage.py")
        for path in ([REPOSITORY / package] if package.endswith(".py") else (REPOSITORY / package).rglob("*.py"))
        if "supervisor" not in path.parts
    )
    for service in OURS.values():
        unread = [name for name in service["environment"] if f'"{name}"' not in sources]
        assert unread == []


def test_production_gets_every_variable_it_insists_on() -> None:
    settings = (REPOSITORY / "aggregator" / "settings" / "production.py").read_text()
    insisted = set(re.findall(r'env\.(?:str|list)\("(\w+)"\)', settings))
    assert {"SECRET_KEY", "DATABASE_URL", "REDIS_URL"} <= insisted
    for service in OURS.values():
        assert insisted <= set(service["environment"])


def test_no_secret_has_a_default_and_the_example_names_every_variable() -> None:
    text = (REPOSITORY / "docker-compose.yml").read_text()
    wanted = {name: rest for name, rest in re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", text)}
    for name in wanted:
        if re.search(r"SECRET|PASSWORD|CERTIFICATE", name):
            occurrences = re.findall(rf"\$\{{{name}([^}}]*)\}}", text)
            assert all(rest.startswith(":?") for rest in occurrences), f"{name} has a default"
    example = set(re.findall(r"^(\w+)=(.*)$", (REPOSITORY / "deploy" / "example.env").read_text(), flags=re.MULTILINE))
    assert {name for name, _ in example} == set(wanted) - {"PLATFORM_VERSION"}
    assert all(value == "" for _, value in example)


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_no_service_runs_as_root(service: str) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", SERVICES[service]["user"])


@pytest.mark.parametrize("service", ["postgresql", "valkey", "mosquitto", "web", "ocpp-gateway-1", "proxy"])
def test_what_others_connect_to_has_a_health_check(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"]


def test_references_between_services_and_volumes_hold() -> None:
    for name, service in SERVICES.items():
        for needed, condition in service.get("depends_on", {}).items():
            assert needed in SERVICES, f"{name} depends on {needed}"
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], f"{name} waits for the health of {needed}"
        for volume in service.get("volumes", []):
            source = volume.rpartition(":/")[0].split(":/")[0]
            if re.fullmatch(r"[a-z-]+", source):
                assert source in COMPOSE["volumes"], f"{name} mounts {source}"
            elif source.startswith("./"):
                assert (REPOSITORY / source).exists(), f"{name} mounts {source}"


def test_images_are_pinned_to_a_release() -> None:
    for service in SERVICES.values():
        assert re.search(r":(\d|\$\{PLATFORM_VERSION)", service["image"]), service["image"]


def test_broker_in_production_keeps_the_rules_of_the_embedded_one() -> None:
    assert (REPOSITORY / "deploy" / "mosquitto" / "acl").read_text() == MOSQUITTO_ACL


def test_proxy_knows_every_gateway() -> None:
    proxy = (REPOSITORY / "deploy" / "haproxy.cfg").read_text()
    gateways = [name for name in OURS if name.startswith("ocpp-gateway")]
    assert len(gateways) >= 2
    assert all(f"{name}:9000" in proxy for name in [*gateways])
    assert "web:8000" in proxy
    # a station that is sent to a dead gateway must not be sent there again until a health check has seen it
    assert "option redispatch 1" in proxy.partition("backend ocpp")[2]


def test_image_contains_what_it_copies_and_drops_root() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", dockerfile, flags=re.MULTILINE)
    kept = re.findall(r"^!(\S+)$", (REPOSITORY / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert all((REPOSITORY / name).exists() for name in kept)
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, flags=re.MULTILINE)
    assert {name for line in copied for name in line.split()} - {"."} <= set(kept)
