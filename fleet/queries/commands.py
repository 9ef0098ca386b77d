"""What devices were last told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from fleet.models import CommandKind, CommandState, DeviceCommand

# A device that refused is asked again after this; until then nothing is promised with it.
REFUSAL_COUNTS_FOR = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class StandingSchedule:
    """The newest power schedule of an asset that its device has, or is about to get.

    `effective_at` is when the device confirmed it (else was sent it, else when it was queued).
    """

    asset_id: int
    starts_at: datetime
    valid_until: datetime
    offset_s: tuple[float, ...]
    power_kw: tuple[float, ...]
    state: str
    effective_at: datetime


def standing_schedules(asset_ids: Iterable[int]) -> dict[int, StandingSchedule]:
    """The newest schedule of each asset that was not refused, lost or replaced."""
    rows = (
        DeviceCommand.objects.filter(
            asset_id__in=list(asset_ids),
            kind=CommandKind.SET_POWER,
            state__in=[CommandState.QUEUED, CommandState.SENT, CommandState.CONFIRMED],
        )
        .order_by("asset_id", "-sequence")
        .distinct("asset_id")
    )
    return {
        row.asset_id: StandingSchedule(
            row.asset_id,
            row.starts_at,
            row.valid_until,
            tuple(row.offset_s),
            tuple(row.power_kw),
            row.state,
            row.answered_at or row.sent_at or row.queued_at,
        )
        for row in rows
    }


def scheduled_power_kw(*, asset_id: int, at: datetime) -> float | None:
    """What an asset's newest schedule says for an instant (+ into the asset); None where it says nothing."""
    schedule = standing_schedules([asset_id]).get(asset_id)
    if schedule is None or not schedule.starts_at <= at < schedule.valid_until:
        return None
    elapsed_s = (at - schedule.starts_at).total_seconds()
    begun = [power for offset, power in zip(schedule.offset_s, schedule.power_kw, strict=True) if offset <= elapsed_s]
    return begun[-1] if begun else None


def refusing_assets(*, now: datetime) -> frozenset[int]:
    """Assets whose device refused a power schedule lately and has accepted none since."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT refused.asset_id FROM fleet_devicecommand refused
            WHERE refused.state = 'refused' AND refused.kind = 'set_power' AND refused.answered_at > %(since)s
              AND NOT EXISTS (
                  SELECT FROM fleet_devicecommand newer
                  WHERE newer.asset_id = refused.asset_id AND newer.sequence > refused.sequence
                    AND newer.kind = 'set_power' AND newer.state = 'confirmed'
              )
            """,
            {"since": now - REFUSAL_COUNTS_FOR},
        )
        return frozenset(row[0] for row in cursor.fetchall())


@dataclass(frozen=True, slots=True)
class DecisionLatency:
    """How long decisions took to reach the wire, in milliseconds, over `count` delivered commands."""

    count: int
    median_ms: float
    p99_ms: float


def decision_to_wire(*, grid_event_id: int) -> DecisionLatency | None:
    """Time from the commit of a schedule to its first byte on the wire, for the commands of one event."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY delay_ms),
                   percentile_cont(0.99) WITHIN GROUP (ORDER BY delay_ms)
            FROM (
                SELECT 1000 * extract(epoch FROM sent_at - queued_at) AS delay_ms
                FROM fleet_devicecommand
                WHERE grid_event_id = %s AND sent_at IS NOT NULL AND attempts = 1
            ) delays
            """,
            [grid_event_id],
        )
        count, median_ms, p99_ms = cursor.fetchone()
    return DecisionLatency(count, float(median_ms), float(p99_ms)) if count else None
