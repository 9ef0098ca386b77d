"""Which gateway processes live, and what becomes of the stations of one that does not.

A gateway holds an advisory lock of PostgreSQL under its name for as long as its listening connection is open. Whoever can
take that lock knows that the gateway is gone, however it went.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import connection, transaction
from django.db.models import F, Q

from fleet.models import Charger, ChargerProtocol
from fleet.operations.changes import announce_change

# First key of the advisory lock, apart from anybody else's; the second is the hash of the gateway's name.
LOCK_SPACE = 7301

_RELEASE = """
WITH released AS (
    UPDATE fleet_charger SET gateway_identity = '' WHERE gateway_identity = %s RETURNING id
), lost AS (
    UPDATE fleet_asset asset SET connected = false
    FROM fleet_evse evse JOIN released ON released.id = evse.charger_id
    WHERE asset.id = evse.asset_id AND asset.connected
    RETURNING asset.site_id
)
SELECT (SELECT count(*) FROM released), array(
    SELECT DISTINCT node.region_id FROM lost
    JOIN fleet_site site ON site.id = lost.site_id JOIN fleet_gridnode node ON node.id = site.grid_node_id)
"""

_RECLAIM = """
WITH reclaimed AS (
    UPDATE fleet_charger SET gateway_identity = %(gateway)s, last_seen_at = %(now)s
    WHERE identity = ANY(%(identities)s) AND gateway_identity = '' RETURNING id
), found AS (
    UPDATE fleet_asset asset SET connected = true, last_seen_at = %(now)s
    FROM fleet_evse evse JOIN reclaimed ON reclaimed.id = evse.charger_id
    WHERE asset.id = evse.asset_id AND NOT asset.connected
    RETURNING asset.site_id
)
SELECT (SELECT count(*) FROM reclaimed), array(
    SELECT DISTINCT node.region_id FROM found
    JOIN fleet_site site ON site.id = found.site_id JOIN fleet_gridnode node ON node.id = site.grid_node_id)
"""


@transaction.atomic
def release_stations(*, gateway_identity: str) -> int:
    """Mark every station of a gateway as not connected: it stops, or has been found gone. Returns how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE, [gateway_identity])
        count, regions = cursor.fetchone()
    for region_id in regions:
        announce_change(kind="lost_device", asset_id=None, region_id=region_id)
    return count


@transaction.atomic
def reclaim_stations(*, gateway_identity: str, identities: Collection[str], now: datetime) -> int:
    """Take back stations that are connected here but belong to nobody in the books, because another gateway believed
    this one gone while the database was away. Returns how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(_RECLAIM, {"gateway": gateway_identity, "identities": sorted(identities), "now": now})
        count, regions = cursor.fetchone()
    for region_id in regions:
        announce_change(kind="found_device", asset_id=None, region_id=region_id)
    return count


def gateways_gone(*, gateway_identity: str, gateway_class: str) -> list[str]:
    """Names of gateways of a class ("ocpp" or "mqtt") that hold stations in the books but do not live.

    The gateway that asks is not among them.
    """
    speaks_mqtt = Q(protocol=ChargerProtocol.MQTT)
    holders = (
        Charger.objects.filter(speaks_mqtt if gateway_class == "mqtt" else ~speaks_mqtt)
        .exclude(gateway_identity__in=["", gateway_identity])
        .order_by(F("gateway_identity").asc())
        .values_list("gateway_identity", flat=True)
        .distinct()
    )
    return [holder for holder in holders if not _lives(holder)]


def _lives(gateway_identity: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [LOCK_SPACE, gateway_identity])
        taken = cursor.fetchone()[0]
        if taken:
            cursor.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", [LOCK_SPACE, gateway_identity])
    return not taken
