"""Queueing, claiming and confirming device commands against a real PostgreSQL."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction

from fleet.models import Asset, Charger, CommandState, DeviceCommand, Pack
from fleet.operations.commands import (
    CommandOutcome,
    PowerSchedule,
    claim_due_commands,
    confirm_commands,
    queue_command,
    queue_schedules,
    requeue_unanswered,
)
from fleet.operations.portfolio import PortfolioAlreadyStored, store_portfolio
from fleet.queries.commands import decision_to_wire, standing_schedules
from fleet.twin.portfolio import draw_portfolio

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def fleet(transactional_db: None) -> dict[str, list[Asset]]:
    """Eight cars (two of each protocol) and the hub; the OCPP stations are connected to gateway gw-1."""
    portfolio = draw_portfolio(vehicles=8, hub=True, computers=2, seed=3, at_h=18, arrive_within_s=5)
    store_portfolio(portfolio=portfolio, now=NOW)
    Charger.objects.exclude(protocol="mqtt").update(gateway_identity="gw-1")
    return {
        "ocpp": list(Asset.objects.filter(kind="evse").exclude(evse__charger__protocol="mqtt")),
        "mqtt": list(Asset.objects.filter(evse__charger__protocol="mqtt")),
        "packs": list(Asset.objects.filter(kind="pack")),
    }


def schedule(asset: Asset, *powers: float, starts_at: datetime = NOW) -> PowerSchedule:
    offsets = tuple(60.0 * index for index in range(len(powers)))
    return PowerSchedule(asset.pk, starts_at, offsets, powers, starts_at + timedelta(hours=1))


def claim(gateway_class: str, now: datetime = NOW, identity: str = "gw-1") -> list[int]:
    return [due.asset_id for due in claim_due_commands(gateway_identity=identity, gateway_class=gateway_class, now=now)]


def test_a_portfolio_is_stored_once(fleet: dict[str, list[Asset]]) -> None:
    assert (len(fleet["ocpp"]), len(fleet["mqtt"]), len(fleet["packs"])) == (6, 2, 148)
    assert 2700 < sum(pack.capacity_kwh for pack in Pack.objects.all()) < 2900
    again = draw_portfolio(vehicles=1, hub=False, computers=0, seed=4, at_h=8, arrive_within_s=1)
    with pytest.raises(PortfolioAlreadyStored) as refusal:
        store_portfolio(portfolio=again, now=NOW)
    assert refusal.value.field == "region"


def test_a_gateway_gets_the_commands_of_its_own_devices_and_each_once(fleet: dict[str, list[Asset]]) -> None:
    everything = fleet["ocpp"] + fleet["mqtt"] + fleet["packs"]
    assert queue_schedules(schedules=[schedule(asset, -5.0, 2.0) for asset in everything], now=NOW) == 156
    assert claim("ocpp", identity="gw-2") == []
    assert sorted(claim("ocpp")) == sorted(asset.pk for asset in fleet["ocpp"])
    assert claim("ocpp") == []
    assert claim("mqtt") == []  # no gateway holds them
    assert sorted(claim("modbus")) == sorted(asset.pk for asset in fleet["packs"])


def test_a_due_command_says_all_that_delivery_needs(fleet: dict[str, list[Asset]]) -> None:
    pack = fleet["packs"][0]
    queue_schedules(schedules=[schedule(pack, -12.5, 0.0)], now=NOW, plan_id=7, grid_event_id=9)
    (due,) = claim_due_commands(gateway_identity="m", gateway_class="modbus", now=NOW)
    assert (due.offset_s, due.power_kw) == ((0.0, 60.0), (-12.5, 0.0))
    assert (due.inverter_identity, due.host, due.device_id) == ("INV-1", "127.0.0.1", 2)
    assert due.bidirectional and due.fail_safe_kw == 0.0 and due.attempts == 1
    assert due.queued_at == NOW


def test_a_newer_schedule_replaces_one_that_waits(fleet: dict[str, list[Asset]]) -> None:
    asset = fleet["ocpp"][0]
    queue_schedules(schedules=[schedule(asset, 3.0)], now=NOW)
    queue_schedules(schedules=[schedule(asset, 4.0)], now=NOW)
    (due,) = claim_due_commands(gateway_identity="gw-1", gateway_class="ocpp", now=NOW)
    assert due.power_kw == (4.0,)
    states = list(DeviceCommand.objects.order_by("sequence").values_list("state", flat=True))
    assert states == [CommandState.SUPERSEDED, CommandState.SENT]


def test_the_database_refuses_two_waiting_schedules_of_one_asset(fleet: dict[str, list[Asset]]) -> None:
    asset = fleet["ocpp"][0]
    queue_schedules(schedules=[schedule(asset, 3.0)], now=NOW)
    standing = DeviceCommand.objects.get()
    standing.pk, standing.sequence = None, standing.sequence + 1
    with pytest.raises(IntegrityError, match="command_one_queued_set_power"), transaction.atomic():
        standing.save(force_insert=True)


def test_planners_that_queue_at_once_do_not_deadlock_and_leave_one_waiting(fleet: dict[str, list[Asset]]) -> None:
    assets = fleet["packs"]
    errors: list[BaseException] = []

    def planner(order: int) -> None:
        try:
            for power in range(5):
                queue_schedules(schedules=[schedule(a, float(power)) for a in assets[::order]], now=NOW)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=planner, args=(order,)) for order in (1, -1, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert DeviceCommand.objects.filter(state=CommandState.QUEUED).count() == len(assets)


def test_two_gateways_never_get_the_same_command(fleet: dict[str, list[Asset]]) -> None:
    queue_schedules(schedules=[schedule(a, 1.0) for a in fleet["packs"]], now=NOW)
    claimed: list[int] = []

    def gateway(name: str) -> None:
        while got := claim_due_commands(gateway_identity=name, gateway_class="modbus", now=NOW, limit=10):
            claimed.extend(due.command_id for due in got)
        connection.close()

    threads = [threading.Thread(target=gateway, args=(f"m-{index}",)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 148


def test_gateways_hear_of_commands_after_the_commit_only(fleet: dict[str, list[Asset]]) -> None:
    url = settings.DATABASES["default"]
    with psycopg.connect(
        host=url["HOST"],
        port=url["PORT"],
        user=url["USER"],
        password=url["PASSWORD"],
        dbname=url["NAME"],
        autocommit=True,
    ) as listener:
        listener.execute("LISTEN device_commands")
        with transaction.atomic():
            queue_schedules(schedules=[schedule(fleet["ocpp"][0], 1.0), schedule(fleet["packs"][0], 1.0)], now=NOW)
            assert list(listener.notifies(timeout=0.2)) == []
        heard = {notice.payload for notice in listener.notifies(timeout=1.0)}
    assert heard == {"ocpp", "modbus"}


def test_answers_are_recorded_and_the_latency_is_that_of_the_wire(fleet: dict[str, list[Asset]]) -> None:
    queue_schedules(schedules=[schedule(a, 1.0) for a in fleet["ocpp"][:2]], now=NOW, grid_event_id=5)
    first, second = claim_due_commands(gateway_identity="gw-1", gateway_class="ocpp", now=NOW)
    confirm_commands(
        outcomes=[
            CommandOutcome(first.command_id, True, NOW + timedelta(milliseconds=40), NOW, {"status": "Accepted"}),
            CommandOutcome(
                second.command_id, False, NOW + timedelta(milliseconds=60), NOW, {"status": "Rejected"}, "no profile"
            ),
        ]
    )
    states = dict(DeviceCommand.objects.values_list("pk", "state"))
    assert states == {first.command_id: CommandState.CONFIRMED, second.command_id: CommandState.REFUSED}
    assert set(standing_schedules([first.asset_id, second.asset_id])) == {first.asset_id}
    latency = decision_to_wire(grid_event_id=5)
    assert latency is not None and latency.count == 2
    assert latency.median_ms == pytest.approx(50.0) and 59.0 < latency.p99_ms <= 60.0


def test_silence_is_retried_then_the_asset_is_left_out_and_an_answer_brings_it_back(
    fleet: dict[str, list[Asset]],
) -> None:
    asset = fleet["packs"][0]
    queue_schedules(schedules=[schedule(asset, 1.0)], now=NOW)
    at = NOW
    for _ in range(3):
        assert claim("modbus", at) == [asset.pk]
        assert requeue_unanswered(now=at + timedelta(seconds=5)) == 0  # it may still answer
        at += timedelta(seconds=11)
        requeue_unanswered(now=at)
    asset.refresh_from_db()
    assert asset.fault == "does not answer commands"
    assert DeviceCommand.objects.get().state == CommandState.TIMED_OUT
    queue_schedules(schedules=[schedule(asset, 2.0, starts_at=at)], now=at)
    (due,) = claim_due_commands(gateway_identity="m", gateway_class="modbus", now=at)
    confirm_commands(outcomes=[CommandOutcome(due.command_id, True, at, at, {})])
    asset.refresh_from_db()
    assert asset.fault == ""


def test_a_command_whose_station_has_moved_to_another_gateway_is_not_waited_for(
    fleet: dict[str, list[Asset]],
) -> None:
    moved, stayed = fleet["ocpp"][:2]
    queue_schedules(schedules=[schedule(moved, 1.0), schedule(stayed, 1.0)], now=NOW)
    assert sorted(claim("ocpp")) == sorted([moved.pk, stayed.pk])
    soon = NOW + timedelta(seconds=1)
    station = Charger.objects.filter(evses__asset=moved)
    station.update(gateway_identity="")
    assert requeue_unanswered(now=soon) == 0  # nobody holds it
    for attempt in range(5):  # more often than one that does not answer is told
        station.update(gateway_identity=f"gw-{attempt + 2}")
        assert requeue_unanswered(now=soon) == 1
        assert claim("ocpp", now=soon, identity=f"gw-{attempt + 2}") == [moved.pk]
        assert requeue_unanswered(now=soon) == 0
    assert DeviceCommand.objects.get(asset=stayed).attempts == 1


def test_an_overtaken_or_outdated_command_is_not_tried_again(fleet: dict[str, list[Asset]]) -> None:
    overtaken, outdated = fleet["packs"][:2]
    queue_schedules(schedules=[schedule(overtaken, 1.0), schedule(outdated, 1.0)], now=NOW)
    claim("modbus")
    queue_schedules(schedules=[schedule(overtaken, 2.0)], now=NOW)
    assert requeue_unanswered(now=NOW + timedelta(hours=2)) == 0
    states = DeviceCommand.objects.order_by("asset_id", "sequence").values_list("state", flat=True)
    assert list(states) == [CommandState.SUPERSEDED, CommandState.EXPIRED, CommandState.EXPIRED]


def test_other_commands_wait_beside_schedules(fleet: dict[str, list[Asset]]) -> None:
    asset = fleet["ocpp"][0]
    queue_schedules(schedules=[schedule(asset, 1.0)], now=NOW)
    queue_command(
        asset_id=asset.pk, kind="reset", parameters={"type": "OnIdle"}, now=NOW, valid_until=NOW + timedelta(minutes=5)
    )
    due = claim_due_commands(gateway_identity="gw-1", gateway_class="ocpp", now=NOW)
    assert [command.kind for command in due] == ["set_power", "reset"]
    assert due[1].parameters == {"type": "OnIdle"}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (PowerSchedule(1, NOW, (), (), NOW + timedelta(hours=1)), "equal length"),
        (PowerSchedule(1, NOW, (0.0,), (1.0,), NOW), "valid_until"),
    ],
)
@pytest.mark.django_db
def test_a_schedule_that_says_nothing_is_refused(bad: PowerSchedule, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        queue_schedules(schedules=[bad], now=NOW)
