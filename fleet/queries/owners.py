"""Owners as the books need them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fleet.models import Owner, Site, Vehicle

DEFAULT_TIME_ZONE = "UTC"


@dataclass(frozen=True, slots=True)
class PaidOwner:
    """Who is paid, and in which time zone their months begin."""

    owner_id: int
    identity: str
    name: str
    time_zone: str


def owner_by_id(owner_id: int) -> PaidOwner | None:
    """An owner; their time zone is that of their first site, else of the home of their first vehicle, else UTC."""
    row = Owner.objects.filter(pk=owner_id).first()
    if row is None:
        return None
    zone = Site.objects.filter(owner=row).order_by("pk").values_list("time_zone", flat=True).first()
    if zone is None:
        homes = Vehicle.objects.filter(owner=row, home_site__isnull=False).order_by("pk")
        zone = homes.values_list("home_site__time_zone", flat=True).first()
    return PaidOwner(row.pk, row.identity, row.name, zone or DEFAULT_TIME_ZONE)


def owner_identities(owner_ids: Iterable[int]) -> dict[int, str]:
    """Identity of each owner."""
    return dict(Owner.objects.filter(pk__in=list(owner_ids)).values_list("pk", "identity"))
