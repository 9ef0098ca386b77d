"""Days of readings and of the message trace: made before they are needed, dropped when they are too old."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from common.clock import require_aware


@dataclass(frozen=True, slots=True)
class PartitionedTable:
    """A table that is partitioned by UTC day of `time_column`; rows of no day are in `<name>_default`."""

    name: str
    time_column: str


READINGS = PartitionedTable("fleet_reading", "measured_at")
MESSAGES = PartitionedTable("fleet_device_message", "at")
PARTITIONED_TABLES = (READINGS, MESSAGES)

_DAY_SUFFIX = re.compile(r"_(\d{8})$")
# one process at a time; the number is arbitrary but must not change
_LOCK_NUMBER = 7_421_883_001
# Upkeep waits this long for readers and writers of a table and then fails, so that nobody queues up behind it.
_LOCK_TIMEOUT = "5s"


@transaction.atomic
def ensure_partitions(*, now: datetime, days_ahead: int = 7) -> list[str]:
    """Make the partitions from yesterday to `days_ahead` days after today; returns the names of those made.

    Rows that came before their day existed are moved over from the default partition. Idempotent.
    """
    today = require_aware(now, "now").date()
    made = []
    with connection.cursor() as cursor:
        _lock(cursor)
        for table in PARTITIONED_TABLES:
            existing = set(_days(cursor, table))
            for offset in range(-1, days_ahead + 1):
                day = today + timedelta(days=offset)
                if day not in existing:
                    made.append(_make_day(cursor, table, day))
    return made


@transaction.atomic
def drop_old_partitions(
    *, now: datetime, keep_days: int, tables: Sequence[PartitionedTable] = PARTITIONED_TABLES
) -> list[str]:
    """Drop the days that ended more than `keep_days` days ago; returns the names of those dropped.

    Older rows of the default partition go as well.

    Raises:
        ValueError: `keep_days` is less than one.
    """
    if keep_days < 1:
        raise ValueError(f"keep_days is {keep_days}; at least one day is kept")
    oldest = require_aware(now, "now").date() - timedelta(days=keep_days)
    dropped = []
    with connection.cursor() as cursor:
        _lock(cursor)
        for table in tables:
            for day in _days(cursor, table):
                if day < oldest:
                    name = _partition_name(table, day)
                    cursor.execute(f"DROP TABLE {name}")
                    dropped.append(name)
            cursor.execute(f"DELETE FROM {table.name}_default WHERE {table.time_column} < %s", [_midnight(oldest)])
    return dropped


def _lock(cursor: CursorWrapper) -> None:
    cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_NUMBER])


def _days(cursor: CursorWrapper, table: PartitionedTable) -> list[date]:
    cursor.execute(
        "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid WHERE inhparent = %s::regclass",
        [table.name],
    )
    suffixes = (_DAY_SUFFIX.search(name) for (name,) in cursor.fetchall())
    return sorted(datetime.strptime(suffix[1], "%Y%m%d").date() for suffix in suffixes if suffix)


def _make_day(cursor: CursorWrapper, table: PartitionedTable, day: date) -> str:
    """Make one day apart, move its rows in, attach it. A day that overlaps rows of the default cannot be attached."""
    name, default = _partition_name(table, day), f"{table.name}_default"
    span = [_midnight(day), _midnight(day + timedelta(days=1))]
    cursor.execute(f"CREATE TABLE {name} (LIKE {table.name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    cursor.execute(f"LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE")
    cursor.execute(
        f"WITH late AS (DELETE FROM {default} WHERE {table.time_column} >= %s AND {table.time_column} < %s RETURNING *) "
        f"INSERT INTO {name} SELECT * FROM late",
        span,
    )
    cursor.execute(f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", span)
    return name


def _partition_name(table: PartitionedTable, day: date) -> str:
    return f"{table.name}_{day:%Y%m%d}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
