"""What the fleet has as a whole, and one device at a time: for the operator."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from struct import Struct
from typing import Any

import redis
from django.db.models import Count, F, Q

from fleet.models import Asset, AssetKind, Charger, ChargingSession, Pack, Region, Vehicle
from fleet.queries.state import FIELD_MEMORY, MEASURED, STATE_KEY, latest_states, redis_client

# what STATE_FORMAT packs first: the instant and value of the power
_FIRST_FIELD = Struct("<dd")
assert MEASURED[0] == "power_kw"


@dataclass(frozen=True, slots=True)
class RegionCounts:
    """How much of what there is in a region."""

    region_id: int
    code: str
    name: str
    time_zone: str
    currency: str
    assets: int
    connected: int
    faulty: int


def region_counts() -> list[RegionCounts]:
    """Assets that can be steered, by region. One query."""
    of_site = "nodes__sites__assets"
    steered = Q(**{f"{of_site}__kind__in": [AssetKind.EVSE, AssetKind.PACK]})
    rows = Region.objects.annotate(
        asset_count=Count(of_site, filter=steered),
        connected_count=Count(of_site, filter=steered & Q(**{f"{of_site}__connected": True})),
        faulty_count=Count(of_site, filter=steered & ~Q(**{f"{of_site}__fault": ""})),
    ).order_by("code")
    return [
        RegionCounts(
            row.pk,
            row.code,
            row.name,
            row.time_zone,
            row.currency,
            row.asset_count,
            row.connected_count,
            row.faulty_count,
        )
        for row in rows
    ]


def connected_assets_by_region() -> dict[int, list[int]]:
    """Identifiers of the steerable assets that are connected, by region."""
    by_region: dict[int, list[int]] = {}
    rows = Asset.objects.filter(connected=True, kind__in=[AssetKind.EVSE, AssetKind.PACK]).values_list(
        "site__grid_node__region_id", "pk"
    )
    for region_id, asset_id in rows.order_by():
        by_region.setdefault(region_id, []).append(asset_id)
    return by_region


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """What a visitor is told: numbers only."""

    cars: int
    plugged_in: int
    chargers: int
    packs: int
    computers: int


def fleet_counts() -> FleetCounts:
    """Numbers of the whole fleet. Four queries."""
    cars = Vehicle.objects.filter(withdrawn_at__isnull=True).aggregate(cars=Count("pk"), computers=Count("computer"))
    return FleetCounts(
        cars=cars["cars"],
        plugged_in=ChargingSession.objects.filter(ended_at__isnull=True).count(),
        chargers=Charger.objects.exclude(gateway_identity="").count(),
        packs=Asset.objects.filter(kind=AssetKind.PACK, connected=True).count(),
        computers=cars["computers"],
    )


def latest_powers_kw(asset_ids: Iterable[int], *, now: datetime) -> dict[int, float]:
    """The newest power of each asset that has told one in the last two minutes (+ into the asset); others are missing.

    For sums over many thousands: it reads the first two numbers of each state and makes no objects. Without Redis it
    takes the longer way.
    """
    wanted = list(asset_ids)
    if not wanted:
        return {}
    oldest_s = (now - FIELD_MEMORY).timestamp()
    try:
        values: list[Any] = redis_client().mget([f"{STATE_KEY}{asset_id}" for asset_id in wanted])
    except redis.RedisError:
        states = latest_states(wanted).items()
        return {pk: state.power_kw for pk, state in states if state.power_kw is not None}
    unpack = _FIRST_FIELD.unpack_from
    told = ((pk, unpack(value)) for pk, value in zip(wanted, values, strict=True) if value is not None)
    # NaN, for none, equals nothing, itself included
    return {pk: power_kw for pk, (at_s, power_kw) in told if at_s >= oldest_s and power_kw == power_kw}


def unable_participants(*, asset_ids: Iterable[int]) -> tuple[int, int]:
    """How many of these assets are not connected, and how many hold no more than their floor."""
    ids = list(asset_ids)
    offline = Asset.objects.filter(pk__in=ids, connected=False).count()
    cars = ChargingSession.objects.filter(
        evse__asset_id__in=ids, ended_at__isnull=True, vehicle__soc_fraction__lte=F("floor_soc_fraction")
    ).count()
    packs = Pack.objects.filter(asset_id__in=ids, soc_fraction__lte=F("minimum_soc_fraction")).count()
    return offline, cars + packs
