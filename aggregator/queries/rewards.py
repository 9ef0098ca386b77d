"""The four rewards of a site, an owner or the portfolio: new business, efficiency, carbon, resilience.

Each has its own unit and none is added to another. What was avoided goes by marginal factors, the inventory by average ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
from django.db.models import Q, QuerySet, Sum
from numpy.typing import NDArray

from aggregator.models import LedgerAccountKind, LedgerEntry
from aggregator.queries.statements import KG_CO2, KWH, SERVICE_OF_KIND
from common.clock import Interval
from common.horizon import mean_over_steps
from fleet.queries.scopes import Scope
from fleet.queries.state import metered_energy
from grid.core.carbon_accounting import Inventory, Matching, inventory, match_certificates
from grid.queries import emission_factors, prices
from grid.queries.carbon import retired_lots

Numbers = NDArray[np.float64]

HOUR_S = 3600
# Meters of so many assets are added up for a page; for more the inventory is by site.
MOST_ASSETS = 500


@dataclass(frozen=True, slots=True)
class Earned:
    """What a service brought in a currency."""

    service: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Rewards:
    """All four. None: not known, or not for so many assets at once.

    Attributes:
        earned: new business: what was booked.
        timing_value: efficiency: what the same energy would have cost more at the mean price of the time; negative
            where it was drawn at dear hours.
        avoided_kg: carbon: what flexibility avoided, by marginal factors.
        inventory, matching: carbon: what the consumption stands for, and how much of it certificates cover.
        reserve_kwh: resilience: energy that no market may touch. `stored_kwh`: what the packs hold now.
        backup_h: how long the stored energy carries the mean load of the time.
    """

    starts_at: datetime
    ends_at: datetime
    earned: tuple[Earned, ...]
    timing_value: float | None
    currency: str
    consumed_kwh: float | None
    avoided_kg: Decimal
    inventory: Inventory | None
    matching: Matching | None
    reserve_kwh: float
    stored_kwh: float | None
    backup_h: float | None


def rewards(
    scope: Scope, *, starts_at: datetime, ends_at: datetime, owner_identity: str = "", everything: bool = False
) -> Rewards:
    """The rewards of a scope in whole hours.

    Args:
        owner_identity: count what was booked for this owner; else what was booked for the scope's assets.
        everything: count what tenants and grid operators paid to all.
    """
    booked = LedgerEntry.objects.filter(transaction__occurred_at__gte=starts_at, transaction__occurred_at__lt=ends_at)
    whose = Q(account__party=owner_identity) if owner_identity else Q(asset_id__in=scope.asset_ids)
    money = Q(account__kind__in=[LedgerAccountKind.GRID_OPERATOR, LedgerAccountKind.TENANT])
    earned = _earned(
        booked.filter(money if everything else whose & Q(account__kind=LedgerAccountKind.OWNER)), everything
    )
    carbon = booked.filter(account__kind=LedgerAccountKind.CARBON_ACCOUNT, account__unit=KG_CO2)
    avoided = (carbon if everything else carbon.filter(whose)).aggregate(total=Sum("amount"))["total"] or Decimal(0)
    consumed = _consumed(scope, starts_at, ends_at)
    timing, currency = (None, "") if consumed is None else _timing(scope, consumed, starts_at, ends_at)
    found, matching = (None, None) if consumed is None else _inventory(scope, consumed, starts_at, ends_at)
    stored = scope.stored_kwh
    hours = (ends_at - starts_at).total_seconds() / HOUR_S
    mean_kw = None if consumed is None else float(np.clip(consumed, 0.0, None).sum()) / hours
    return Rewards(
        starts_at=starts_at,
        ends_at=ends_at,
        earned=earned,
        timing_value=timing,
        currency=currency,
        consumed_kwh=None if consumed is None else float(np.clip(consumed, 0.0, None).sum()),
        avoided_kg=avoided,
        inventory=found,
        matching=matching,
        reserve_kwh=scope.emergency_reserve_kwh,
        stored_kwh=stored,
        backup_h=stored / mean_kw if stored is not None and mean_kw else None,
    )


def _earned(entries: QuerySet[LedgerEntry], everything: bool) -> tuple[Earned, ...]:
    rows = (
        entries.exclude(account__unit__in=[KWH, KG_CO2])
        .exclude(transaction__kind="payout")
        .values("transaction__kind", "account__unit")
        .annotate(total=Sum("amount"))
    )
    totals: dict[tuple[str, str], Decimal] = {}
    for row in rows:
        key = SERVICE_OF_KIND.get(row["transaction__kind"], row["transaction__kind"]), row["account__unit"]
        totals[key] = totals.get(key, Decimal(0)) + (-row["total"] if everything else row["total"])
    return tuple(Earned(service, unit, amount) for (service, unit), amount in sorted(totals.items()))


def _consumed(scope: Scope, starts_at: datetime, ends_at: datetime) -> Numbers | None:  # [hour]
    if not scope.asset_ids or len(scope.asset_ids) > MOST_ASSETS:
        return None
    metered = metered_energy(asset_ids=scope.asset_ids, starts_at=starts_at, ends_at=ends_at, slot_s=HOUR_S)
    return metered.net_kwh.sum(axis=0)


def _edges(starts_at: datetime, ends_at: datetime) -> Numbers:  # [hour + 1]
    slots = Interval(starts_at, ends_at).slots(HOUR_S)
    return np.array([slot.starts_at.timestamp() for slot in slots] + [ends_at.timestamp()])


def _timing(scope: Scope, consumed: Numbers, starts_at: datetime, ends_at: datetime) -> tuple[float | None, str]:
    """Σ_t (mean price − price_t) · consumed_t over the hours that have a price."""
    if scope.region_id is None:
        return None, ""
    slots = prices(region_id=scope.region_id, starts_at=starts_at, ends_at=ends_at)
    if not slots:
        return None, ""
    price = mean_over_steps(
        _edges(starts_at, ends_at),
        np.array([slot.starts_at.timestamp() for slot in slots]),
        np.array([slot.ends_at.timestamp() for slot in slots]),
        np.array([float(slot.price_per_kwh) for slot in slots]),
    )
    known = ~np.isnan(price)
    return float((price[known].mean() - price[known]) @ consumed[known]), slots[0].currency


def _inventory(scope: Scope, consumed: Numbers, starts_at: datetime, ends_at: datetime) -> tuple[Inventory, Matching]:
    hours = Interval(starts_at, ends_at).slots(HOUR_S)
    average = np.full(len(hours), np.nan)
    if scope.region_id is not None:
        factors = emission_factors(region_id=scope.region_id, kind="average", starts_at=starts_at, ends_at=ends_at)
        average = mean_over_steps(
            _edges(starts_at, ends_at),
            np.array([factor.starts_at.timestamp() for factor in factors]),
            np.array([factor.ends_at.timestamp() for factor in factors]),
            np.array([factor.kg_per_kwh for factor in factors]),
        )
    lots = retired_lots(retired_for=list(scope.site_identities), starts_at=starts_at, ends_at=ends_at)
    matching = match_certificates(
        slot_starts=[hour.starts_at for hour in hours],
        slot_ends=[hour.ends_at for hour in hours],
        consumed_kwh=consumed,
        lots=lots,
    )
    found = inventory(
        consumed_kwh=consumed,
        average_kg_per_kwh=average,
        covered_kwh=matching.covered_kwh,
        certificate_kg=sum(lot.kwh * lot.kg_per_kwh for lot in lots),
        # no region publishes a residual mix here yet: the average stands for it, and the page says so
        residual_kg_per_kwh=np.full(len(hours), np.nan),
    )
    return found, matching
