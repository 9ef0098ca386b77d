"""Which packs, meters and inverters can be reached, as the gateway that reads them sees it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from fleet.models import Asset, Inverter
from fleet.operations.changes import announce_change
from fleet.operations.commands import NO_ANSWER_FAULT


@transaction.atomic
def mark_reachable(*, asset_ids: Collection[int], now: datetime) -> int:
    """Note that these devices answer, also after commands had been left unanswered; announces those that did not before.
    Returns how many changed."""
    changed = _lock_changed(asset_ids, connected=False)
    ids = [asset.pk for asset in changed]
    Asset.objects.filter(pk__in=ids).update(connected=True, last_seen_at=now)
    Asset.objects.filter(pk__in=ids, fault=NO_ANSWER_FAULT).update(fault="")
    _announce("found_device", changed)
    return len(changed)


@transaction.atomic
def mark_unreachable(*, asset_ids: Collection[int]) -> int:
    """Note that these devices no longer answer; announces those that did before. Returns how many changed."""
    changed = _lock_changed(asset_ids, connected=True)
    Asset.objects.filter(pk__in=[asset.pk for asset in changed]).update(connected=False)
    _announce("lost_device", changed)
    return len(changed)


def mark_inverters(*, inverter_ids: Collection[int], connected: bool, gateway_identity: str, now: datetime) -> None:
    """Note whether inverters are reached, and by which gateway."""
    rows = Inverter.objects.filter(pk__in=inverter_ids)
    if connected:
        rows.update(connected=True, last_seen_at=now, gateway_identity=gateway_identity)
    else:
        rows.update(connected=False)


def _lock_changed(asset_ids: Collection[int], *, connected: bool) -> list[Asset]:
    return list(
        Asset.objects.filter(pk__in=asset_ids, connected=connected)
        .select_related("site__grid_node")
        .select_for_update(of=("self",), no_key=True)
        .order_by("pk")
    )


def _announce(kind: str, assets: Collection[Asset]) -> None:
    for asset in assets:
        announce_change(kind=kind, asset_id=asset.pk, region_id=asset.site.grid_node.region_id)
