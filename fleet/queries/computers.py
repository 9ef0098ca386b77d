"""On-board computers with what their renting out depends on: consent, plug, battery, departure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, FilteredRelation, OuterRef, Q
from django.db.models.functions import Coalesce

from fleet.models import Consent, ConsentService, OnboardComputer, OperationMode

FIELDS = (
    "pk",
    "identity",
    "vehicle_id",
    "vehicle__identity",
    "vehicle__label",
    "vehicle__owner__identity",
    "vehicle__withdrawn_at",
    "cpu_cores",
    "memory_mib",
    "active_power_kw",
)
# what a site says of the place where a car stands
PLACE = {"mode": "operation_mode", "region": "grid_node__region_id", "currency": "grid_node__region__currency"}


@dataclass(frozen=True, slots=True)
class ComputerState:
    """A computer and its car at one moment. Region and currency are those of the place where the car is plugged in,
    else of its home; empty and None where neither is known."""

    computer_id: int
    identity: str
    vehicle_id: int
    vehicle_identity: str
    vehicle_label: str
    owner_identity: str
    cpu_cores: int
    memory_mib: int
    active_power_kw: float
    enrolled: bool
    consented: bool
    plugged_in: bool
    emergency: bool
    soc_fraction: float | None
    departure_at: datetime | None
    region_id: int | None
    currency: str


def computer_states(
    *, computer_ids: Collection[int] | None = None, vehicle_ids: Collection[int] | None = None
) -> dict[int, ComputerState]:
    """States by computer, of all computers or of those named; one query however many."""
    rows = OnboardComputer.objects.all()
    if computer_ids is not None:
        rows = rows.filter(pk__in=computer_ids)
    if vehicle_ids is not None:
        rows = rows.filter(vehicle_id__in=vehicle_ids)
    consent = Consent.objects.filter(
        vehicle=OuterRef("vehicle"), service=ConsentService.COMPUTING, withdrawn_at__isnull=True
    )
    # a vehicle has one open session at most, so that the join adds no rows
    open_stay = FilteredRelation("vehicle__sessions", condition=Q(vehicle__sessions__ended_at__isnull=True))
    found = rows.annotate(stay=open_stay, consented=Exists(consent)).values(
        *FIELDS,
        "consented",
        plugged_in=Q(stay__isnull=False),
        soc_fraction=Coalesce("vehicle__soc_fraction", "stay__arrival_soc_fraction"),
        departure_at=F("stay__departure_at"),
        **{f"stay_{name}": F(f"stay__charger__site__{path}") for name, path in PLACE.items()},
        **{f"home_{name}": F(f"vehicle__home_site__{path}") for name, path in PLACE.items()},
    )
    return {row["pk"]: _state(row) for row in found}


def _state(row: dict[str, Any]) -> ComputerState:
    place = "stay" if row["plugged_in"] else "home"
    return ComputerState(
        computer_id=row["pk"],
        identity=row["identity"],
        vehicle_id=row["vehicle_id"],
        vehicle_identity=row["vehicle__identity"],
        vehicle_label=row["vehicle__label"],
        owner_identity=row["vehicle__owner__identity"],
        cpu_cores=row["cpu_cores"],
        memory_mib=row["memory_mib"],
        active_power_kw=row["active_power_kw"],
        enrolled=row["vehicle__withdrawn_at"] is None,
        consented=row["consented"],
        plugged_in=row["plugged_in"],
        emergency=row[f"{place}_mode"] == OperationMode.EMERGENCY,
        soc_fraction=row["soc_fraction"],
        departure_at=row["departure_at"],
        region_id=row[f"{place}_region"],
        currency=row[f"{place}_currency"] or "",
    )
