"""Commands to devices: planning queues them, gateways claim, deliver and confirm them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import BooleanField, ExpressionWrapper, F, Q

from fleet.core.local_control import LocalControl, read_local_control
from fleet.models import Asset, AssetKind, CommandKind, CommandState, DeviceCommand, Evse
from fleet.operations.changes import announce_change
from fleet.operations.station_answers import apply_answers

DEVICE_COMMANDS_CHANNEL = "device_commands"
GATEWAY_CLASSES = ("ocpp", "mqtt", "modbus")
MAX_ATTEMPTS = 3
NO_ANSWER_FAULT = "does not answer commands"


@dataclass(frozen=True, slots=True)
class PowerSchedule:
    """A power schedule for one asset: `power_kw[i]` (+ into the asset) holds from `starts_at + offset_s[i]` until the
    next entry; after `valid_until` the device falls back to its fail-safe power. `control` is the rule by which the
    device departs from it in between, if it is to."""

    asset_id: int
    starts_at: datetime
    offset_s: tuple[float, ...]
    power_kw: tuple[float, ...]
    valid_until: datetime
    control: LocalControl | None = None


@dataclass(frozen=True, slots=True)
class DueCommand:
    """A command with all that a gateway needs to deliver it without asking further."""

    command_id: int
    asset_id: int
    asset_identity: str
    sequence: int
    kind: str
    starts_at: datetime
    valid_until: datetime
    offset_s: tuple[float, ...]
    power_kw: tuple[float, ...]
    parameters: dict
    queued_at: datetime
    attempts: int
    charger_identity: str
    protocol: str
    evse_number: int
    transaction_id: str
    bidirectional: bool
    phases: int
    max_charge_kw: float
    max_discharge_kw: float
    min_charge_kw: float
    fail_safe_kw: float
    inverter_identity: str
    host: str
    port: int
    device_id: int


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """What became of a delivered command."""

    command_id: int
    accepted: bool
    sent_at: datetime
    answered_at: datetime
    answer: dict
    reason: str = ""


def _notify_gateways(asset_ids: Sequence[int]) -> None:
    """Wake the gateways that hold these assets, when the current transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT pg_notify(%s, gateway_class) FROM (
                SELECT DISTINCT CASE WHEN asset.kind <> %s THEN 'modbus'
                                     WHEN charger.protocol = 'mqtt' THEN 'mqtt' ELSE 'ocpp' END AS gateway_class
                FROM fleet_asset asset
                LEFT JOIN fleet_evse evse ON evse.asset_id = asset.id
                LEFT JOIN fleet_charger charger ON charger.id = evse.charger_id
                WHERE asset.id = ANY(%s)
            ) classes
            """,
            [DEVICE_COMMANDS_CHANNEL, AssetKind.EVSE, list(asset_ids)],
        )


def _check_schedule(schedule: PowerSchedule) -> None:
    if not schedule.power_kw or len(schedule.power_kw) != len(schedule.offset_s):
        raise ValueError(f"asset {schedule.asset_id}: offset_s and power_kw must be of equal length, at least one")
    if schedule.valid_until <= schedule.starts_at:
        raise ValueError(f"asset {schedule.asset_id}: valid_until must lie after starts_at")


def _parameters(schedule: PowerSchedule, standing: Mapping[int, dict]) -> dict:
    """A schedule's own rule, else the one that stands for its EVSE, which gives way where the car cannot follow it."""
    if schedule.control is not None and schedule.control != LocalControl():
        return {"local_control": schedule.control.to_json()}
    rule = standing.get(schedule.asset_id)
    return {"local_control": rule, "standing": True} if rule else {}


@transaction.atomic
def queue_schedules(
    *,
    schedules: Sequence[PowerSchedule],
    now: datetime,
    plan_id: int | None = None,
    grid_event_id: int | None = None,
) -> int:
    """Queue one `set_power` command per schedule and return how many; those queued before and not yet sent are superseded.

    Raises:
        ValueError: a schedule is empty, of unequal lengths, or ends before it starts.
    """
    if not schedules:
        return 0
    for schedule in schedules:
        _check_schedule(schedule)
    # in the order of assets, always: two planners that queue at once wait for each other instead of deadlocking
    ordered = sorted(schedules, key=lambda schedule: schedule.asset_id)
    asset_ids = [schedule.asset_id for schedule in ordered]
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM fleet_asset WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [asset_ids])
        cursor.execute(
            "SELECT nextval('fleet_command_sequence') FROM generate_series(1, %s)",
            [len(ordered)],
        )
        sequences = [row[0] for row in cursor.fetchall()]
    DeviceCommand.objects.filter(asset_id__in=asset_ids, kind=CommandKind.SET_POWER, state=CommandState.QUEUED).update(
        state=CommandState.SUPERSEDED, answered_at=now
    )
    rules = Evse.objects.filter(asset_id__in=asset_ids).exclude(local_control={})
    standing = dict(rules.values_list("asset_id", "local_control"))
    DeviceCommand.objects.bulk_create(
        [
            DeviceCommand(
                asset_id=schedule.asset_id,
                sequence=sequence,
                kind=CommandKind.SET_POWER,
                starts_at=schedule.starts_at,
                valid_until=schedule.valid_until,
                offset_s=list(schedule.offset_s),
                power_kw=list(schedule.power_kw),
                parameters=_parameters(schedule, standing),
                plan_id=plan_id,
                grid_event_id=grid_event_id,
                queued_at=now,
            )
            for schedule, sequence in zip(ordered, sequences, strict=True)
        ],
        batch_size=2000,
    )
    _notify_gateways(asset_ids)
    return len(ordered)


@transaction.atomic
def resume_schedules(*, identity: str, now: datetime) -> int:
    """Queue again what holds for the bidirectional sessions of a station that is back: while it was away its set-point
    may have lapsed (OCPP 2.1, Q12). Returns how many.
    """
    newest = (
        DeviceCommand.objects.filter(
            asset__evse__charger__identity=identity,
            asset__evse__sessions__ended_at__isnull=True,
            asset__evse__sessions__bidirectional=True,
            kind=CommandKind.SET_POWER,
        )
        .order_by("asset_id", "-sequence")
        .distinct("asset_id")
    )
    return sum(
        queue_schedules(
            schedules=[
                PowerSchedule(
                    command.asset_id,
                    command.starts_at,
                    tuple(command.offset_s),
                    tuple(command.power_kw),
                    command.valid_until,
                    None
                    if command.parameters.get("standing")
                    else read_local_control(command.parameters.get("local_control")),
                )
            ],
            now=now,
            plan_id=command.plan_id,
            grid_event_id=command.grid_event_id,
        )
        for command in newest
        if command.state == CommandState.CONFIRMED and command.valid_until > now
    )


@transaction.atomic
def queue_command(
    *,
    asset_id: int,
    kind: str,
    parameters: dict,
    now: datetime,
    valid_until: datetime,
    requested_by: str = "",
    batch_id: int | None = None,
) -> int:
    """Queue one command other than a schedule and return its identifier."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('fleet_command_sequence')")
        sequence = cursor.fetchone()[0]
    command = DeviceCommand.objects.create(
        asset_id=asset_id,
        sequence=sequence,
        kind=kind,
        starts_at=now,
        valid_until=valid_until,
        parameters=parameters,
        queued_at=now,
        requested_by=requested_by,
        batch_id=batch_id,
    )
    _notify_gateways([asset_id])
    return command.pk


_CLAIM = """
WITH due AS (
    SELECT command.id
    FROM fleet_devicecommand command
    LEFT JOIN fleet_evse evse ON evse.asset_id = command.asset_id
    LEFT JOIN fleet_charger charger ON charger.id = evse.charger_id
    LEFT JOIN fleet_pack pack ON pack.asset_id = command.asset_id
    WHERE command.state = 'queued' AND command.valid_until > %(now)s AND ({whose})
    ORDER BY command.sequence
    LIMIT %(limit)s
    FOR UPDATE OF command SKIP LOCKED
), claimed AS (
    UPDATE fleet_devicecommand command
    SET state = 'sent', sent_at = %(now)s, claimed_by = %(gateway)s, attempts = command.attempts + 1
    FROM due WHERE command.id = due.id
    RETURNING command.*
)
SELECT claimed.id, claimed.asset_id, asset.identity, claimed.sequence, claimed.kind, claimed.starts_at,
       claimed.valid_until, claimed.offset_s, claimed.power_kw, claimed.parameters, claimed.queued_at, claimed.attempts,
       coalesce(charger.identity, ''), coalesce(charger.protocol, ''), coalesce(evse.number, 0),
       coalesce(session.transaction_id, ''), coalesce(session.bidirectional, pack.id IS NOT NULL),
       coalesce(charger.phases, 3), coalesce(evse.max_charge_kw, pack.max_charge_kw),
       coalesce(evse.max_discharge_kw, pack.max_discharge_kw), coalesce(evse.min_charge_kw, 0),
       coalesce(evse.fail_safe_kw, 0), coalesce(inverter.identity, ''), coalesce(inverter.host, ''),
       coalesce(inverter.port, 0), coalesce(pack.device_id, 0)
FROM claimed
JOIN fleet_asset asset ON asset.id = claimed.asset_id
LEFT JOIN fleet_evse evse ON evse.asset_id = claimed.asset_id
LEFT JOIN fleet_charger charger ON charger.id = evse.charger_id
LEFT JOIN fleet_chargingsession session ON session.evse_id = evse.id AND session.ended_at IS NULL
LEFT JOIN fleet_pack pack ON pack.asset_id = claimed.asset_id
LEFT JOIN fleet_inverter inverter ON inverter.id = pack.inverter_id
ORDER BY claimed.sequence
"""
_CLAIM_OCPP = _CLAIM.format(whose="charger.gateway_identity = %(gateway)s AND charger.protocol <> 'mqtt'")
_CLAIM_MQTT = _CLAIM.format(whose="charger.gateway_identity = %(gateway)s AND charger.protocol = 'mqtt'")
_CLAIM_MODBUS = _CLAIM.format(whose="pack.id IS NOT NULL")
_CLAIM_OF_CLASS = {"ocpp": _CLAIM_OCPP, "mqtt": _CLAIM_MQTT, "modbus": _CLAIM_MODBUS}


@transaction.atomic
def claim_due_commands(
    *, gateway_identity: str, gateway_class: str, now: datetime, limit: int = 500
) -> list[DueCommand]:
    """Take commands for delivery: each is given to one gateway, once per attempt.

    A gateway of class "ocpp" or "mqtt" gets those of the stations connected to it; "modbus" those of all packs.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_OF_CLASS[gateway_class], {"now": now, "gateway": gateway_identity, "limit": limit})
        rows = cursor.fetchall()
    return [_due_command(row) for row in rows]


def _due_command(row: tuple) -> DueCommand:
    """A row of `_CLAIM`, whose columns stand in the order of the fields; arrays and JSON become plain values."""
    values = dict(zip((field.name for field in fields(DueCommand)), row, strict=True))
    values["offset_s"], values["power_kw"] = tuple(values["offset_s"]), tuple(values["power_kw"])
    if isinstance(values["parameters"], str):
        values["parameters"] = json.loads(values["parameters"])
    return DueCommand(**values)


@transaction.atomic
def confirm_commands(*, outcomes: Sequence[CommandOutcome]) -> None:
    """Record what devices answered. An asset that answers again loses its "does not answer" fault."""
    if not outcomes:
        return
    commands = DeviceCommand.objects.in_bulk([outcome.command_id for outcome in outcomes])
    answered_assets = []
    for outcome in outcomes:
        command = commands.get(outcome.command_id)
        if command is None:
            continue
        command.state = CommandState.CONFIRMED if outcome.accepted else CommandState.REFUSED
        command.sent_at = outcome.sent_at
        command.answered_at = outcome.answered_at
        command.answer = {**outcome.answer, "reason": outcome.reason} if outcome.reason else outcome.answer
        answered_assets.append(command.asset_id)
    DeviceCommand.objects.bulk_update(commands.values(), ["state", "sent_at", "answered_at", "answer"], batch_size=500)
    apply_answers([(commands[each.command_id], each) for each in outcomes if each.command_id in commands])
    Asset.objects.filter(pk__in=answered_assets, fault=NO_ANSWER_FAULT).update(fault="")


def confirm_command(*, command_id: int, sent_at: datetime, answered_at: datetime, answer: dict) -> None:
    """Record that the device accepted one command."""
    confirm_commands(outcomes=[CommandOutcome(command_id, True, sent_at, answered_at, answer)])


def refuse_command(*, command_id: int, sent_at: datetime, answered_at: datetime, answer: dict, reason: str) -> None:
    """Record that the device refused one command, and why."""
    confirm_commands(outcomes=[CommandOutcome(command_id, False, sent_at, answered_at, answer, reason)])


@transaction.atomic
def requeue_unanswered(*, now: datetime, unanswered_after_s: float = 10) -> int:
    """Give commands without an answer another try; after three the asset is marked as not answering.

    One that was claimed by a gateway from which its station has since moved to another is not waited for: nobody can
    answer it there. A command that a newer one has overtaken is not tried again. Returns how many were queued again.
    """
    long_ago = Q(sent_at__lt=now - timedelta(seconds=unanswered_after_s))
    holder = "asset__evse__charger__gateway_identity"
    # of MQTT's processes any may hear an answer
    moved_away = (
        Q(**{f"{holder}__gt": ""}) & ~Q(**{holder: F("claimed_by")}) & ~Q(asset__evse__charger__protocol="mqtt")
    )
    unanswered = list(
        DeviceCommand.objects.select_for_update(skip_locked=True, of=("self",))
        .annotate(moved_away=ExpressionWrapper(moved_away, output_field=BooleanField()))
        .filter(long_ago | moved_away, state=CommandState.SENT)
        .select_related("asset__site__grid_node")
        .order_by("asset_id")[:1000]
    )
    newest = dict(
        DeviceCommand.objects.filter(
            asset_id__in=[command.asset_id for command in unanswered],
            kind=CommandKind.SET_POWER,
        )
        .order_by("asset_id", "-sequence")
        .distinct("asset_id")
        .values_list("asset_id", "sequence")
    )
    requeued = []
    for command in unanswered:
        overtaken = command.kind == CommandKind.SET_POWER and newest.get(command.asset_id) != command.sequence
        if overtaken or command.valid_until <= now:
            command.state = CommandState.SUPERSEDED if overtaken else CommandState.EXPIRED
            command.answered_at = now
        elif command.attempts < MAX_ATTEMPTS or command.moved_away:
            command.state = CommandState.QUEUED
            requeued.append(command.asset_id)
        else:
            command.state = CommandState.TIMED_OUT
            command.answered_at = now
            Asset.objects.filter(pk=command.asset_id, fault="").update(fault=NO_ANSWER_FAULT)
            announce_change(
                kind="lost_device", asset_id=command.asset_id, region_id=command.asset.site.grid_node.region_id
            )
    DeviceCommand.objects.bulk_update(unanswered, ["state", "answered_at"], batch_size=500)
    DeviceCommand.objects.filter(state=CommandState.QUEUED, valid_until__lte=now).update(
        state=CommandState.EXPIRED, answered_at=now
    )
    if requeued:
        _notify_gateways(requeued)
    return len(requeued)
