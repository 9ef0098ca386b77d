"""DER controls and alarms of a station, for the operator; and what they leave of its discharging power, for planning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fleet.core.local_control import LocalControl, read_local_control
from fleet.models import DerAlarm, DerControl, DerControlState, Evse

LIMIT_MAX_DISCHARGE = "LimitMaxDischarge"


@dataclass(frozen=True, slots=True)
class DerControlView:
    """One control. `content` is as OCPP writes it."""

    control_id: str
    control_type: str
    is_default: bool
    state: str
    reason: str
    content: Mapping[str, Any]
    started_at: datetime | None
    stopped_at: datetime | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class DerAlarmView:
    """One alarm."""

    control_type: str
    fault: str
    extra: str
    began_at: datetime
    ended_at: datetime | None


def der_controls(identity: str, *, limit: int = 100) -> list[DerControlView]:
    """Controls of a station, those asked for last first."""
    return [
        DerControlView(
            row.control_id,
            row.control_type,
            row.is_default,
            row.state,
            row.reason,
            row.content,
            row.started_at,
            row.stopped_at,
            row.changed_at,
        )
        for row in DerControl.objects.filter(charger__identity=identity)[:limit]
    ]


def der_alarms(identity: str, *, limit: int = 50) -> list[DerAlarmView]:
    """Alarms of a station, the latest first."""
    return [
        DerAlarmView(row.control_type, row.fault, row.extra, row.began_at, row.ended_at)
        for row in DerAlarm.objects.filter(charger__identity=identity)[:limit]
    ]


def local_controls(identity: str) -> list[tuple[int, LocalControl]]:
    """The rules that stand for a station's EVSEs, by their number; EVSEs without one are missing."""
    rows = Evse.objects.filter(charger__identity=identity).exclude(local_control={}).order_by("number")
    return [(row.number, read_local_control(row.local_control)) for row in rows]


def discharge_fractions(*, charger_ids: Iterable[int], now: datetime) -> dict[int, float]:
    """The share of its discharging power, 0 to 1, that a LimitMaxDischarge now leaves each station; those without are
    missing. One that is scheduled holds within its time, a default always unless it is superseded."""
    fractions: dict[int, float] = {}
    rows = DerControl.objects.filter(
        charger_id__in=list(charger_ids), control_type=LIMIT_MAX_DISCHARGE, state=DerControlState.SET
    )
    for row in rows:
        percent = row.content.get("pctMaxDischargePower")
        if percent is not None and _holds(row, now):
            fractions[row.charger_id] = min(fractions.get(row.charger_id, 1.0), max(0.0, percent / 100))
    return fractions


def _holds(row: DerControl, now: datetime) -> bool:
    if row.stopped_at is not None:
        return False
    start = row.content.get("startTime")
    if start is None:
        return True
    starts_at = datetime.fromisoformat(start)
    duration_s = row.content.get("duration")
    return starts_at <= now and (duration_s is None or now < starts_at + timedelta(seconds=duration_s))
