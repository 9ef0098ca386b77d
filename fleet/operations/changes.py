"""Telling whoever plans that the fleet has changed. The message travels with the transaction: no commit, no news."""

from __future__ import annotations

import json

from django.db import connection

FLEET_CHANGED_CHANNEL = "fleet_changed"
CHANGE_KINDS = frozenset({"arrival", "departure", "lost_device", "found_device", "owner"})


def announce_change(*, kind: str, asset_id: int | None, region_id: int) -> None:
    """Send `kind` of change to the listeners of `fleet_changed` when the current transaction commits.

    Raises:
        ValueError: `kind` is not one of `CHANGE_KINDS`.
    """
    if kind not in CHANGE_KINDS:
        raise ValueError(f"kind {kind!r} is not one of {sorted(CHANGE_KINDS)}")
    payload = json.dumps({"kind": kind, "asset_id": asset_id, "region_id": region_id})
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [FLEET_CHANGED_CHANNEL, payload])
