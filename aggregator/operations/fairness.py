"""Fairness between owners: bringing the books up to date, and what they mean for the next plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from django.conf import settings
from django.db import transaction
from numpy.typing import NDArray

from aggregator.core.fairness import wear_discounts
from aggregator.models import OwnerContribution
from fleet.queries.assets import FlexibleAsset, region_ids
from fleet.queries.offers import owner_offers
from grid.queries.contributions import owner_deliveries

COUNTED_FOR = timedelta(days=30)
_ROWS_PER_STATEMENT = 2_000


def update_contributions(*, now: datetime) -> int:
    """What every owner offered and was called for in the last 30 days, region by region. Returns how many have a row."""
    return sum(_update_region(region_id, now) for region_id in region_ids())


@transaction.atomic
def _update_region(region_id: int, now: datetime) -> int:
    since = now - COUNTED_FOR
    deliveries = owner_deliveries(region_id=region_id, starts_at=since, ends_at=now)
    delivered = {item.owner_id: item for item in deliveries}
    rows = []
    for offer in owner_offers(region_id=region_id, starts_at=since, ends_at=now):
        item = delivered.get(offer.owner_id)
        rows.append(
            OwnerContribution(
                region_id=region_id,
                owner_id=offer.owner_id,
                as_of=now,
                offered_h=offer.offered_h,
                offered_kwh=offer.offered_kwh,
                delivered_kwh=item.delivered_kwh if item is not None else 0.0,
                events=item.events if item is not None else 0,
            )
        )
    OwnerContribution.objects.bulk_create(
        rows,
        batch_size=_ROWS_PER_STATEMENT,
        update_conflicts=True,
        unique_fields=["region", "owner_id"],
        update_fields=["as_of", "offered_h", "offered_kwh", "delivered_kwh", "events"],
    )
    OwnerContribution.objects.filter(region_id=region_id, as_of__lt=now).delete()
    return len(rows)


def fair_discounts(
    *, region_id: int, assets: Sequence[FlexibleAsset], price_per_kwh: NDArray[np.float64]
) -> NDArray[np.float64]:  # [asset]
    """By how much less each asset's wear is taken to cost in the next plan (see aggregator.core.fairness).

    The bound is `FAIRNESS_FRACTION` of the mean price; assets without an owner stand last.
    """
    called, offered_kwh = np.zeros(len(assets)), np.zeros(len(assets))
    bound = settings.FAIRNESS_FRACTION * float(np.abs(price_per_kwh).mean())
    rows = OwnerContribution.objects.filter(region_id=region_id, offered_kwh__gt=0)
    known = {
        owner_id: (delivered / offered, offered)
        for owner_id, delivered, offered in rows.values_list("owner_id", "delivered_kwh", "offered_kwh")
    }
    counts = Counter(asset.owner_id for asset in assets)
    for row, asset in enumerate(assets):
        owner_id = asset.owner_id
        if owner_id in known:  # an owner's weight is shared by the owner's assets
            called[row], offered_kwh[row] = known[owner_id][0], known[owner_id][1] / counts[owner_id]
        elif owner_id is None:
            called[row] = np.inf
    wear = np.array([asset.wear_per_kwh for asset in assets], dtype=np.float64)
    return wear_discounts(called, offered_kwh, wear, bound)
