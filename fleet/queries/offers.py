"""What owners offered: for how long their cars and packs could have been called, and with how much power."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import (
    Case,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    FloatField,
    OuterRef,
    Q,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Extract, Greatest, Least

from common.units import SECONDS_PER_HOUR
from fleet.models import ChargingSession, Consent, ConsentService, Pack


@dataclass(frozen=True, slots=True)
class OwnerOffer:
    """Hours on offer, summed over an owner's assets, and the same times each asset's range of power."""

    owner_id: int
    offered_h: float
    offered_kwh: float


def owner_offers(*, region_id: int, starts_at: datetime, ends_at: datetime) -> list[OwnerOffer]:
    """By owner: cars with consent while plugged in, and packs of sites with consent all the time, in an interval.

    The range of an asset's power is what it can charge with plus what it can discharge with.
    """
    found: dict[int, OwnerOffer] = {}
    for owner_id, hours, energy_kwh in (
        *_cars(region_id, starts_at, ends_at),
        *_packs(region_id, starts_at, ends_at),
    ):
        known = found.get(owner_id, OwnerOffer(owner_id, 0.0, 0.0))
        found[owner_id] = OwnerOffer(owner_id, known.offered_h + hours, known.offered_kwh + energy_kwh)
    return [found[owner_id] for owner_id in sorted(found)]


def _cars(region_id: int, starts_at: datetime, ends_at: datetime) -> list[tuple[int, float, float]]:
    consented = Consent.objects.filter(
        service=ConsentService.FLEXIBILITY, withdrawn_at__isnull=True, vehicle=OuterRef("vehicle")
    )
    until = Least(Coalesce(F("ended_at"), Value(ends_at)), Value(ends_at))
    stay = ExpressionWrapper(until - Greatest(F("started_at"), Value(starts_at)), output_field=DurationField())
    hours = ExpressionWrapper(Extract(stay, "epoch") / SECONDS_PER_HOUR, output_field=FloatField())
    two_way = Q(bidirectional=True, vehicle__v2g_capable=True)
    charge_kw = Least(F("evse__max_charge_kw"), F("vehicle__model__max_charge_kw"))
    discharge_kw = Case(
        When(two_way, then=Least(F("evse__max_discharge_kw"), F("vehicle__model__max_discharge_kw"))),
        default=0.0,
        output_field=FloatField(),
    )
    rows = (
        ChargingSession.objects.filter(
            Exists(consented),
            Q(ended_at__isnull=True) | Q(ended_at__gt=starts_at),
            evse__asset__site__grid_node__region_id=region_id,
            started_at__lt=ends_at,
        )
        .annotate(hours=hours, energy_kwh=hours * (charge_kw + discharge_kw))
        .values("vehicle__owner_id")
        .annotate(offered_h=Sum("hours"), offered_kwh=Sum("energy_kwh"))
    )
    return [(row["vehicle__owner_id"], row["offered_h"], row["offered_kwh"]) for row in rows]


def _packs(region_id: int, starts_at: datetime, ends_at: datetime) -> list[tuple[int, float, float]]:
    consented = Consent.objects.filter(
        service=ConsentService.FLEXIBILITY, withdrawn_at__isnull=True, site=OuterRef("asset__site")
    )
    hours = (ends_at - starts_at).total_seconds() / SECONDS_PER_HOUR
    rows = (
        Pack.objects.filter(
            Exists(consented), asset__site__grid_node__region_id=region_id, asset__site__owner__isnull=False
        )
        .values("asset__site__owner_id")
        .annotate(packs=Sum(Value(1)), range_kw=Sum(F("max_charge_kw") + F("max_discharge_kw")))
    )
    return [(row["asset__site__owner_id"], hours * row["packs"], hours * row["range_kw"]) for row in rows]
