"""What contracts of use leave to be used now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Q

from fleet.core.use_contract import UseAllowance
from fleet.models import ChargingSession, Pack, UseContract

if TYPE_CHECKING:  # assets are read with what contracts leave of them
    from fleet.queries.assets import FleetSnapshot, FlexibleAsset

# an asset, and the time in which what it discharged counts for a contract
Stretch = tuple[int, datetime, datetime]


@dataclass(frozen=True, slots=True)
class ContractTerms:
    """The limits that hold, or held, for a car; None for no limit."""

    valid_from: datetime
    valid_until: datetime | None
    max_discharge_kwh_per_day: float | None
    max_discharge_kwh_per_month: float | None
    max_events_per_month: int | None
    discharge_from: time | None
    discharge_until: time | None


def contracts_of_vehicle(*, vehicle_id: int) -> list[ContractTerms]:
    """A car's contracts, the newest first."""
    return [
        ContractTerms(
            row.valid_from,
            row.valid_until,
            row.max_discharge_kwh_per_day,
            row.max_discharge_kwh_per_month,
            row.max_events_per_month,
            row.discharge_from,
            row.discharge_until,
        )
        for row in UseContract.objects.filter(vehicle_id=vehicle_id)
    ]


def use_allowances(
    *, assets_of_vehicle: Mapping[int, int], assets_of_site: Mapping[int, Sequence[int]], now: datetime
) -> dict[int, UseAllowance]:
    """By asset: what the contract of the car that stands there, or of the site whose packs they are, leaves now.

    What a site may discharge is shared by its packs alike.

    Args:
        assets_of_vehicle: where each car stands.
        assets_of_site: the packs of each site.
    """
    contracts = list(
        UseContract.objects.filter(Q(valid_until__isnull=True) | Q(valid_until__gt=now), valid_from__lte=now)
        .filter(Q(vehicle_id__in=list(assets_of_vehicle)) | Q(site_id__in=list(assets_of_site)))
        .select_related("vehicle__home_site", "site")
    )
    if not contracts:
        return {}
    stretches = _stretches(contracts, now)
    month_kwh, day_kwh = _discharged_kwh(stretches, 0), _discharged_kwh(stretches, 1)
    found = {}
    for contract in contracts:
        assets = (
            [assets_of_vehicle[contract.vehicle_id]]
            if contract.vehicle_id is not None
            else list(assets_of_site[contract.site_id or 0])
        )
        for asset_id in assets:
            stands = tuple(month for contract_id, (month, _) in stretches if contract_id == contract.pk)
            found[asset_id] = _allowance(contract, month_kwh, day_kwh, len(assets), stands)
    return found


def _zone(contract: UseContract) -> str:
    site = contract.site if contract.site is not None else contract.vehicle.home_site if contract.vehicle else None
    return site.time_zone if site is not None else "UTC"


def _starts(contract: UseContract, now: datetime) -> tuple[datetime, datetime]:
    """When the contract's local month and day began."""
    local = now.astimezone(ZoneInfo(_zone(contract)))
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return day.replace(day=1), day


def _stretches(contracts: Sequence[UseContract], now: datetime) -> list[tuple[int, tuple[Stretch, Stretch]]]:
    """By contract: the stretches of each asset since the month began, and since the day began."""
    starts = {contract.pk: _starts(contract, now) for contract in contracts}
    of_vehicle = {contract.vehicle_id: contract.pk for contract in contracts if contract.vehicle_id is not None}
    of_site = {contract.site_id: contract.pk for contract in contracts if contract.site_id is not None}
    earliest = min(month for month, _ in starts.values())
    sessions = ChargingSession.objects.filter(vehicle_id__in=list(of_vehicle)).filter(
        Q(ended_at__isnull=True) | Q(ended_at__gt=earliest)
    )
    spans = [
        (of_vehicle[vehicle_id], asset_id, started_at, ended_at or now)
        for vehicle_id, asset_id, started_at, ended_at in sessions.values_list(
            "vehicle_id", "evse__asset_id", "started_at", "ended_at"
        )
    ]
    packs = Pack.objects.filter(asset__site_id__in=list(of_site)).values_list("asset__site_id", "asset_id")
    spans += [(of_site[site_id], asset_id, earliest, now) for site_id, asset_id in packs]
    found = []
    for contract_id, asset_id, starts_at, ends_at in spans:
        month, day = ((asset_id, max(starts_at, begin), ends_at) for begin in starts[contract_id])
        found.append((contract_id, (month, day)))
    return found


_EXPORTED = """
SELECT wanted.contract_id, coalesce(sum(greatest(newest.export_kwh - oldest.export_kwh, 0)), 0)
FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
     AS wanted (contract_id, asset_id, starts_at, ends_at),
LATERAL (SELECT export_kwh FROM fleet_reading WHERE asset_id = wanted.asset_id AND measured_at >= wanted.starts_at
         AND measured_at <= wanted.ends_at AND export_kwh IS NOT NULL ORDER BY measured_at ASC LIMIT 1) oldest,
LATERAL (SELECT export_kwh FROM fleet_reading WHERE asset_id = wanted.asset_id AND measured_at >= wanted.starts_at
         AND measured_at <= wanted.ends_at AND export_kwh IS NOT NULL ORDER BY measured_at DESC LIMIT 1) newest
GROUP BY wanted.contract_id
"""


def _discharged_kwh(stretches: Sequence[tuple[int, tuple[Stretch, Stretch]]], which: int) -> dict[int, float]:
    """By contract: what the export registers counted in the stretches since the month (0) or the day (1) began."""
    rows = [(contract_id, *both[which]) for contract_id, both in stretches if both[which][1] < both[which][2]]
    if not rows:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_EXPORTED, [list(column) for column in zip(*rows, strict=True)])
        return {contract_id: float(kwh) for contract_id, kwh in cursor.fetchall()}


def _allowance(
    contract: UseContract,
    month_kwh: Mapping[int, float],
    day_kwh: Mapping[int, float],
    sharers: int,
    stands: tuple[Stretch, ...],
) -> UseAllowance:
    def share(limit: float | None, used_kwh: float) -> float:
        return float("inf") if limit is None else max(0.0, limit - used_kwh) / sharers

    per_day, per_month = contract.max_discharge_kwh_per_day, contract.max_discharge_kwh_per_month
    return UseAllowance(
        contract_id=contract.pk,
        time_zone=_zone(contract),
        left_today_kwh=share(per_day, day_kwh.get(contract.pk, 0.0)),
        left_this_month_kwh=share(per_month, month_kwh.get(contract.pk, 0.0)),
        per_day_kwh=share(per_day, 0.0),
        per_month_kwh=share(per_month, 0.0),
        discharge_from=contract.discharge_from,
        discharge_until=contract.discharge_until,
        max_events_per_month=contract.max_events_per_month,
        stands=stands,
    )


def contracted(assets: tuple[FlexibleAsset, ...], now: datetime) -> tuple[FlexibleAsset, ...]:
    """The assets, each with what its contract leaves; a contract's limits are planned for, and kept between plans."""
    packs: dict[int, list[int]] = {}
    for asset in assets:
        if asset.kind == "pack":
            packs.setdefault(asset.site_id, []).append(asset.asset_id)
    cars = {asset.vehicle_id: asset.asset_id for asset in assets if asset.vehicle_id is not None}
    left = use_allowances(assets_of_vehicle=cars, assets_of_site=packs, now=now)
    if not left:
        return assets
    return tuple(
        replace(asset, allowance=left[asset.asset_id]) if asset.asset_id in left else asset for asset in assets
    )


def within_contracts(snapshot: FleetSnapshot, now: datetime) -> FleetSnapshot:
    """The snapshot with no discharge where a contract allows none at this instant: for what acts at once."""
    assets = tuple(
        asset if asset.allowance is None or asset.allowance.may_discharge_at(now) else replace(asset, discharge_kw=0.0)
        for asset in snapshot.assets
    )
    return replace(snapshot, assets=assets)
