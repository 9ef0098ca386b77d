"""What was answered is durable; what could not be made durable is not answered; nothing is lost or doubled."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from fleet.devices.database import listening_parameters
from fleet.devices.ocpp.writer import Work, commit_batch
from fleet.models import Asset, Charger, ChargingSession, DeviceCommand, Reading
from fleet.operations.commands import PowerSchedule, queue_schedules
from fleet.operations.gateways import LOCK_SPACE, gateways_gone, reclaim_stations, release_stations
from fleet.operations.session_progress import SessionProgress
from fleet.operations.sessions import end_session, start_session
from fleet.operations.stations import UnknownEvse, mark_connected
from fleet.operations.telemetry import MeterReading
from tests.integration.fleet.loops import free_port
from tests.integration.ocpp.support import (
    Background,
    Place,
    RawStation,
    RunningGateway,
    eventually,
    make_place,
    now,
    utc_text,
)

Connect = Callable[..., RawStation]
REPOSITORY = Path(__file__).resolve().parents[3]


def values_at(instant: Any, import_wh: int) -> dict[str, Any]:
    """MeterValues of 1.6."""
    sample = {"value": str(import_wh), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}
    return {"connectorId": 1, "meterValue": [{"timestamp": utc_text(instant), "sampledValue": [sample]}]}


def start_at(place: Place, instant: Any) -> dict[str, Any]:
    return {"connectorId": 1, "idTag": place.id_token, "meterStart": 0, "timestamp": utc_text(instant)}


@contextmanager
def database_away() -> Iterator[None]:
    """Nobody but this test reaches the database."""
    name = connection.settings_dict["NAME"]
    with psycopg.connect(**{**listening_parameters(), "dbname": "postgres", "autocommit": True}) as other:
        other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
            (name, connection.connection.info.backend_pid),
        )
        try:
            yield
        finally:
            other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_nothing_is_answered_while_the_database_is_away_and_everything_after(
    background: Background, connect: Connect
) -> None:
    place = make_place("CP-1", "ocpp1.6")
    station = connect("CP-1", "ocpp1.6")
    begun = now()
    started = background.run(station.call("StartTransaction", start_at(place, begun)))
    measured = now()
    with database_away():
        waiting = background.start(station.call("MeterValues", values_at(measured, 700)))
        time.sleep(1.0)
        assert not waiting.done()
    assert waiting.result(20) == {}
    assert Reading.objects.get(asset_id=place.asset_id, measured_at=measured).import_kwh == 0.7
    stop = {"transactionId": started["transactionId"], "meterStop": 900, "timestamp": utc_text(now())}
    background.run(station.call("StopTransaction", stop))
    assert ChargingSession.objects.get().meter_stop_kwh == 0.9


def test_commands_are_delivered_again_when_the_database_is_back(background: Background, connect: Connect) -> None:
    place = make_place("CP-1", "ocpp2.0.1")
    station = connect("CP-1", "ocpp2.0.1")
    station.answers["SetChargingProfile"] = lambda payload: {"status": "Accepted"}
    eventually(lambda: Charger.objects.get().gateway_identity)
    with database_away():
        time.sleep(0.3)
    instant = now()
    schedule = PowerSchedule(place.asset_id, instant, (0.0,), (5.0,), instant + timedelta(minutes=5))
    queue_schedules(schedules=[schedule], now=instant)
    background.run(station.next_call("SetChargingProfile"))
    eventually(lambda: DeviceCommand.objects.get().state == "confirmed")


def test_restarted_gateway_goes_on_with_open_transactions(background: Background) -> None:
    place = make_place("CP-1", "ocpp1.6")
    first = RunningGateway("gateway-a")
    station = background.run(RawStation.connect(first.url, "CP-1", "ocpp1.6"))
    started = background.run(station.call("StartTransaction", start_at(place, now())))
    first.stop()
    assert background.run(station.closed())[0] == 1001
    assert Charger.objects.get().gateway_identity == "" and not Asset.objects.get(pk=place.asset_id).connected
    second = RunningGateway("gateway-b", port=first.port)
    try:
        # real stations reconnect without booting
        station = background.run(RawStation.connect(second.url, "CP-1", "ocpp1.6"))
        measured = now()
        background.run(
            station.call("MeterValues", {**values_at(measured, 500), "transactionId": started["transactionId"]})
        )
        station.answers["SetChargingProfile"] = lambda payload: {"status": "Accepted"}
        schedule = PowerSchedule(place.asset_id, now(), (0.0,), (8.0,), now() + timedelta(minutes=5))
        queue_schedules(schedules=[schedule], now=now())
        profile = background.run(station.next_call("SetChargingProfile"))["csChargingProfiles"]
        assert profile["transactionId"] == started["transactionId"]
        ended = now()
        stop = {"transactionId": started["transactionId"], "meterStop": 800, "timestamp": utc_text(ended)}
        background.run(station.call("StopTransaction", stop))
    finally:
        second.stop()
    session = ChargingSession.objects.get()
    assert (session.ended_at, session.meter_stop_kwh) == (ended, 0.8)
    assert Reading.objects.filter(asset_id=place.asset_id, measured_at=measured).count() == 1


def test_killed_gateway_loses_and_doubles_nothing(background: Background, platform_environment: dict[str, str]) -> None:
    """kill -9 in the middle of a session; the station repeats what was not answered, to the next process."""
    place = make_place("CP-1", "ocpp1.6")
    port = free_port()

    def launch(identity: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "ocpp_gateway", "--port", str(port), "--identity", identity],
            cwd=REPOSITORY,
            env=platform_environment,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None and process.stdout.readline().startswith(b"READY")
        return process

    messages: list[tuple[str, dict[str, Any]]] = [("StartTransaction", start_at(place, now() - timedelta(hours=1)))]
    messages += [
        ("MeterValues", values_at(now() - timedelta(minutes=50) + timedelta(seconds=number), 10 * number))
        for number in range(1, 40)
    ]

    async def play(process: subprocess.Popen[bytes], first: int, kill_at: int | None) -> int:
        """Send messages until killed; the first that was not answered."""
        station = await RawStation.connect(f"ws://127.0.0.1:{port}", "CP-1", "ocpp1.6")
        for number in range(first, len(messages)):
            answer = background.loop.create_task(station.call(*messages[number]))
            if number == kill_at:
                process.send_signal(signal.SIGKILL)
                await station.closed()
                answer.cancel()
                return number
            await answer
        return len(messages)

    first = launch("gateway-a")
    with suppress(ProcessLookupError):
        unanswered = background.run(play(first, 0, kill_at=20))
    first.wait(10)
    second = launch("gateway-b")
    try:
        assert background.run(play(second, unanswered, kill_at=None)) == len(messages)
        started = ChargingSession.objects.get()
        assert started.ended_at is None
        # the start and every report, once each
        assert Reading.objects.filter(asset_id=place.asset_id).count() == len(messages)
        assert Charger.objects.get().gateway_identity == "gateway-b"
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(10) == 0


def test_a_piece_of_work_that_fails_spoils_none_beside_it(transactional_db: None) -> None:
    place = make_place("CP-1", "ocpp2.0.1")
    instant = now()

    def start(evse_number: int) -> Any:
        return start_session(
            identity="CP-1",
            evse_number=evse_number,
            transaction_id=f"TX-{evse_number}",
            id_token=place.id_token,
            started_at=instant,
            meter_start_kwh=None,
            now=instant,
        )

    def break_the_transaction() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

    good = Work(operation=lambda: start(1), readings=[MeterReading(place.asset_id, instant, power_kw=1.0)])
    unknown, broken = Work(operation=lambda: start(9)), Work(operation=break_the_transaction)
    refused = Work(readings=[MeterReading(place.asset_id, instant + timedelta(days=1), power_kw=1.0)])
    charger_id = Charger.objects.get().pk
    going_on = Work(progress=SessionProgress(charger_id, "TX-1", 5))
    commit_batch([unknown, good, broken, refused, going_on])
    assert isinstance(unknown.error, UnknownEvse) and broken.error is not None
    assert good.error is None and good.result.transaction_id == "TX-1"
    assert len(refused.refused) == 1
    assert ChargingSession.objects.get().last_sequence_number == 5
    assert Reading.objects.filter(asset_id=place.asset_id, measured_at=instant).count() == 1


def test_gateway_that_died_is_found_gone_and_one_that_lives_is_not(transactional_db: None) -> None:
    places = [make_place(f"CP-{number}", "ocpp2.0.1") for number in (1, 2)]
    for place, gateway in zip(places, ("dead", "alive"), strict=True):
        mark_connected(identity=place.identity, gateway_identity=gateway, now=now())
    with psycopg.connect(**{**listening_parameters(), "autocommit": True}) as living:
        living.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (LOCK_SPACE, "alive"))
        assert gateways_gone(gateway_identity="mine", gateway_class="ocpp") == ["dead"]
        assert gateways_gone(gateway_identity="mine", gateway_class="mqtt") == []
    assert release_stations(gateway_identity="dead") == 1
    assert not Asset.objects.get(pk=places[0].asset_id).connected
    assert Asset.objects.get(pk=places[1].asset_id).connected
    taken = reclaim_stations(gateway_identity="mine", identities=["CP-1", "CP-2"], now=now())
    assert taken == 1
    owners = dict(Charger.objects.values_list("identity", "gateway_identity"))
    assert owners == {"CP-1": "mine", "CP-2": "alive"}


def test_second_end_changes_nothing(transactional_db: None) -> None:
    place = make_place("CP-1", "ocpp2.0.1")
    begun = now() - timedelta(hours=1)
    start_session(
        identity="CP-1",
        evse_number=1,
        transaction_id="TX",
        id_token=place.id_token,
        started_at=begun,
        meter_start_kwh=1.0,
        now=now(),
    )

    def end(meter_stop_kwh: float) -> Any:
        return end_session(
            identity="CP-1",
            transaction_id="TX",
            # a clock that was set back in between
            ended_at=begun - timedelta(days=1),
            meter_stop_kwh=meter_stop_kwh,
            stop_reason="Local",
            sequence_number=3,
            now=now(),
        )

    assert not end(5.0).duplicate
    assert end(9.0).duplicate
    session = ChargingSession.objects.get()
    assert (session.meter_stop_kwh, session.ended_at) == (5.0, begun)


@pytest.mark.parametrize("skew", [timedelta(days=1), -timedelta(days=400)])
def test_clock_that_is_far_off_keeps_nobody_from_charging(transactional_db: None, skew: timedelta) -> None:
    place = make_place("CP-1", "ocpp1.6")
    instant = now()
    begun = instant + skew

    def start() -> Any:
        return start_session(
            identity="CP-1",
            evse_number=1,
            transaction_id=None,
            id_token=place.id_token,
            started_at=begun,
            meter_start_kwh=0.0,
            now=instant,
        )

    first, again = start(), start()
    assert (first.duplicate, again.duplicate) == (False, True)
    assert first.transaction_id == again.transaction_id
    session = ChargingSession.objects.get()
    assert session.ended_at is None and session.started_at == min(begun, instant)
