"""What owners contributed to events, from the latest settlements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Exists, OuterRef, Q, Sum

from grid.models import Settlement, SettlementShare


@dataclass(frozen=True, slots=True)
class OwnerDelivery:
    """Energy that settlements credit an owner with, and in how many events; neither is negative."""

    owner_id: int
    delivered_kwh: float
    events: int


def owner_deliveries(*, region_id: int, starts_at: datetime, ends_at: datetime) -> list[OwnerDelivery]:
    """By owner, of events of a region that began in an interval; each event by its latest revision."""
    newer = Settlement.objects.filter(
        event_id=OuterRef("settlement__event_id"), revision__gt=OuterRef("settlement__revision")
    )
    delivered = Q(delivered_kwh__gt=0)
    rows = (
        SettlementShare.objects.filter(
            ~Exists(newer),
            owner_id__isnull=False,
            settlement__event__programme__region_id=region_id,
            settlement__event__starts_at__gte=starts_at,
            settlement__event__starts_at__lt=ends_at,
        )
        .values("owner_id")
        .annotate(
            delivered=Sum("delivered_kwh", filter=delivered),
            events=Count("settlement__event_id", filter=delivered, distinct=True),
        )
        .order_by("owner_id")
    )
    return [OwnerDelivery(int(row["owner_id"] or 0), float(row["delivered"] or 0), row["events"]) for row in rows]
