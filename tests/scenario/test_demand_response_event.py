"""The way of an event, over real sockets, against the digital twin.

grid operator -> API -> plan in a worker -> schedules queued -> gateways -> chargers and packs over OCPP, Modbus and
MQTT -> meters -> settlement -> ledger -> owners. And the same while one process after another is killed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.scenario.platform_process import RunningPlatform, start_platform, wait_for

VEHICLES = 16
TWO_WAY = VEHICLES // 4
TARGET_KW = 400.0
LENGTH_S = 60
NOTICE_S = 20
KILL_EVERY_S = 7


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """One platform for all that happens here, in the order of the tests: events come and go without a restart."""
    running = start_platform(tmp_path_factory.mktemp("scenario") / "run", vehicles=VEHICLES)
    try:
        yield running
    finally:
        if running.supervisor.poll() is None:
            running.stop()


@pytest.fixture(scope="module")
def operator(platform: RunningPlatform) -> Iterator[httpx.Client]:
    """The grid operator's program."""
    with platform.client("operator", "events:read events:write settlements:read") as client:
        yield client


def wait_until_everyone_is_here(platform: RunningPlatform) -> None:
    wait_for(
        lambda: platform.value("SELECT count(*) FROM fleet_chargingsession WHERE ended_at IS NULL") == VEHICLES,
        within_s=60,
        what=f"{VEHICLES} cars to be plugged in",
        explain=lambda: "\n".join(
            platform.log_tail(name) for name in ("ocpp_gateway", "twin_chargers", "mqtt_gateway")
        ),
    )
    wait_for(
        lambda: platform.value("SELECT coalesce(max(asset_count), 0) FROM aggregator_plan") >= VEHICLES + 140,
        within_s=60,
        what="a plan with the whole fleet in it",
        explain=lambda: platform.log_tail("worker"),
    )


def ask(client: httpx.Client, *, key: str, length_s: int = LENGTH_S) -> httpx.Response:
    starts_at = datetime.now(UTC) + timedelta(seconds=NOTICE_S)
    body = {
        "programme": "fast-response",
        "direction": "reduce",
        "target_kw": TARGET_KW,
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + timedelta(seconds=length_s)).isoformat(),
    }
    return client.post("/api/events/", json=body, headers={"Idempotency-Key": key})


def wait_until_settled(
    client: httpx.Client, event_id: int, *, within_s: float, platform: RunningPlatform
) -> dict[str, Any]:
    last: dict[str, Any] = {}

    def settled() -> bool:
        try:
            answer = client.get(f"/api/events/{event_id}/")
        except httpx.HTTPError:
            return False  # the web server is just being restarted
        if answer.status_code == 200:
            last.update(answer.json())
        return last.get("state") == "settled"

    wait_for(settled, within_s=within_s, what="the event to be settled", explain=lambda: platform.log_tail("worker"))
    return last


def assert_books_balance(platform: RunningPlatform) -> None:
    unbalanced = platform.rows(
        """SELECT entry.transaction_id, account.unit, sum(entry.amount) FROM aggregator_ledgerentry entry
           JOIN aggregator_ledgeraccount account ON account.id = entry.account_id
           GROUP BY 1, 2 HAVING sum(entry.amount) <> 0"""
    )
    assert unbalanced == []


def lost_messages(platform: RunningPlatform) -> int:
    code = (
        "from django.conf import settings; from aggregator.queries.demonstration import lost_messages; "
        "print('LOST', lost_messages(settings.RUN_DIR))"
    )
    output = platform.manage("shell", "-c", code)
    return int(output.rsplit("LOST", 1)[1])


def assert_delivered(event: dict[str, Any]) -> None:
    """Every full slot after the ramp is within five percent of the target."""
    full = [step for step in event["settlement"]["steps"] if not step["in_ramp"]]
    assert len(full) == (LENGTH_S - 15) // 15
    ratios = [step["delivered_kw"] / TARGET_KW for step in full]
    assert all(0.95 <= ratio <= 1.05 for ratio in ratios), ratios


def assert_planned_to_the_optimum(platform: RunningPlatform, event_id: int) -> None:
    gap, missed = platform.rows(
        "SELECT gap, missed FROM aggregator_plan WHERE grid_event_id = %s ORDER BY id DESC LIMIT 1", event_id
    )[0]
    assert gap <= 1e-6
    assert not [miss for miss in missed if miss["kind"] == "event_target"]


def assert_every_kind_of_device_followed(platform: RunningPlatform) -> None:
    kinds = platform.rows(
        """SELECT DISTINCT coalesce(charger.protocol, asset.kind) FROM fleet_devicecommand command
           JOIN fleet_asset asset ON asset.id = command.asset_id LEFT JOIN fleet_evse evse ON evse.asset_id = asset.id
           LEFT JOIN fleet_charger charger ON charger.id = evse.charger_id WHERE command.state = 'confirmed'"""
    )
    assert {kind for (kind,) in kinds} == {"ocpp1.6", "ocpp2.0.1", "ocpp2.1", "mqtt", "pack"}
    discharged = platform.value(
        """SELECT count(*) FROM (SELECT asset_id FROM fleet_reading JOIN fleet_asset ON fleet_asset.id = asset_id
           WHERE kind = 'evse' GROUP BY asset_id HAVING max(export_kwh) - min(export_kwh) > 0.02) cars"""
    )
    assert discharged == TWO_WAY


def assert_owners_are_paid(platform: RunningPlatform, event_id: int) -> None:
    paid = platform.rows(
        """SELECT account.party, sum(entry.amount) FROM aggregator_ledgerentry entry
           JOIN aggregator_ledgeraccount account ON account.id = entry.account_id
           JOIN aggregator_ledgertransaction booked ON booked.id = entry.transaction_id
           WHERE account.kind = 'owner' AND account.unit = 'EUR' AND booked.grid_event_id = %s GROUP BY 1""",
        event_id,
    )
    assert len(paid) >= 2 and all(amount > 0 for _, amount in paid)


def assert_settling_again_changes_nothing(platform: RunningPlatform, event_id: int) -> None:
    lines = (
        "SELECT count(*) FROM aggregator_ledgerentry entry JOIN aggregator_ledgertransaction booked"
        " ON booked.id = entry.transaction_id WHERE booked.grid_event_id = %s"
    )
    before = platform.value(lines, event_id)
    platform.manage(
        "shell",
        "-c",
        "from django.utils import timezone; from aggregator.operations.settlements import settle_event; "
        f"settle_event(event_id={event_id}, now=timezone.now())",
    )
    assert platform.value(lines, event_id) == before > 0
    assert platform.value("SELECT count(*) FROM grid_settlement WHERE event_id = %s", event_id) == 1


def test_an_event_is_asked_for_planned_delivered_settled_and_paid(
    platform: RunningPlatform, operator: httpx.Client
) -> None:
    wait_until_everyone_is_here(platform)
    assert httpx.get(platform.web).status_code == 200

    recorded = ask(operator, key=uuid.uuid4().hex)
    assert recorded.status_code == 201, recorded.text
    event_id = recorded.json()["event_id"]
    overlapping = ask(operator, key=uuid.uuid4().hex)
    assert (overlapping.status_code, overlapping.json()["field"]) == (409, "starts_at")

    event = wait_until_settled(operator, event_id, within_s=NOTICE_S + LENGTH_S + 60, platform=platform)

    assert_delivered(event)
    assert_planned_to_the_optimum(platform, event_id)
    assert_every_kind_of_device_followed(platform)
    assert_books_balance(platform)
    assert_owners_are_paid(platform, event_id)
    assert_settling_again_changes_nothing(platform, event_id)
    assert lost_messages(platform) == 0


def test_killing_any_process_during_an_event_loses_and_doubles_nothing(
    platform: RunningPlatform, operator: httpx.Client
) -> None:
    wait_until_everyone_is_here(platform)
    length_s = KILL_EVERY_S * 15
    recorded = ask(operator, key=uuid.uuid4().hex, length_s=length_s)
    assert recorded.status_code == 201, recorded.text
    event_id = recorded.json()["event_id"]
    starts_at = datetime.fromisoformat(recorded.json()["starts_at"])
    wait_for(lambda: datetime.now(UTC) > starts_at, within_s=NOTICE_S + 5, what="the event to begin")

    victims = ["ocpp_gateway", "modbus_gateway", "mqtt_gateway", "tracking_loop", "worker", "beat", "granian"]
    victims += ["valkey-server", "amqtt", "postgres"]
    killed: dict[str, int] = {}
    for victim in victims:
        try:
            killed[victim] = platform.kill(victim)
        except LookupError:
            assert victim == "amqtt", f"{victim} does not run"
            killed["mosquitto"] = platform.kill("mosquitto")
        wait_for(
            lambda: datetime.now(UTC) > starts_at + timedelta(seconds=KILL_EVERY_S * len(killed)),
            within_s=12,
            what="time",
        )

    event = wait_until_settled(operator, event_id, within_s=length_s + 90, platform=platform)

    for victim, old in killed.items():
        assert platform.pid_of(victim) != old
    last = event["settlement"]["steps"][-1]
    assert last["delivered_kw"] == pytest.approx(TARGET_KW, rel=0.10)
    assert lost_messages(platform) == 0
    assert_books_balance(platform)
    assert platform.value("SELECT count(*) FROM grid_settlement WHERE event_id = %s", event_id) == 1
    sessions = platform.rows(
        "SELECT count(*), count(DISTINCT vehicle_id) FROM fleet_chargingsession WHERE ended_at IS NULL"
    )
    assert sessions == [(VEHICLES, VEHICLES)]
    assert platform.value("SELECT count(*) FROM fleet_chargingsession") == VEHICLES
    twice = platform.rows("""SELECT idempotency_key FROM aggregator_ledgertransaction GROUP BY 1 HAVING count(*) > 1""")
    assert twice == []
    assert json.loads((platform.run_dir / "platform.json").read_text())["pid"] == platform.supervisor.pid


def test_stopping_leaves_nothing_behind(platform: RunningPlatform) -> None:
    assert platform.stop() == []
    assert not (platform.run_dir / "platform.json").exists()
    assert not (platform.run_dir / "env").exists()
