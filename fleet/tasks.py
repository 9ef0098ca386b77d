"""What the fleet does by the clock."""

from __future__ import annotations

from datetime import UTC, datetime

from celery import shared_task
from celery.signals import beat_init
from django.conf import settings

from fleet.operations.priority import end_priority
from fleet.operations.retention import MESSAGES, READINGS, drop_old_partitions, ensure_partitions

# Hourly, though days are made a week ahead: a platform that was off for long catches up within the hour.
BEAT_SCHEDULE = {
    "fleet-upkeep-partitions": {"task": "fleet.upkeep_partitions", "schedule": 3600.0},
    "fleet-end-priority": {"task": "fleet.end_priority", "schedule": 15.0},
}


@shared_task(name="fleet.upkeep_partitions")
def upkeep_partitions() -> None:
    """Make the days that readings and messages will need, and drop those past their retention."""
    now = datetime.now(UTC)
    ensure_partitions(now=now)
    drop_old_partitions(now=now, keep_days=settings.READING_RETENTION_DAYS, tables=[READINGS])
    drop_old_partitions(now=now, keep_days=settings.MESSAGE_RETENTION_DAYS, tables=[MESSAGES])


@shared_task(name="fleet.end_priority")
def end_expired_priority() -> None:
    """Let the plan resume where a driver's override is over and the station still serves the car before all others."""
    end_priority(now=datetime.now(UTC))


@beat_init.connect
def upkeep_at_start(**_: object) -> None:
    """The clock's first stroke comes an hour after it starts; a new platform needs its days at once."""
    upkeep_partitions.delay()
