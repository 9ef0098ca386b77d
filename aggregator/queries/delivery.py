"""What events deliver while they run, as the tracking loop saw it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aggregator.models import DeliverySample


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One look at an event's participants. `delivered_kw` is positive in the direction asked for."""

    sample_id: int
    at: datetime
    target_kw: float
    baseline_kw: float
    measured_kw: float
    delivered_kw: float
    corrected_assets: int


def latest_delivery(*, event_id: int) -> DeliveryView | None:
    """The last look at an event; None before the first."""
    row = DeliverySample.objects.filter(grid_event_id=event_id).order_by("-at").first()
    return None if row is None else _view(row)


def delivery_since(*, event_id: int, since: datetime | None, limit: int) -> list[DeliveryView]:
    """Looks at an event after an instant (None: from the first), oldest first."""
    rows = DeliverySample.objects.filter(grid_event_id=event_id)
    if since is not None:
        rows = rows.filter(at__gt=since)
    return [_view(row) for row in rows.order_by("at")[:limit]]


def _view(row: DeliverySample) -> DeliveryView:
    return DeliveryView(
        row.pk, row.at, row.target_kw, row.baseline_kw, row.measured_kw, row.delivered_kw, row.corrected_assets
    )
