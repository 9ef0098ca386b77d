"""What belongs to a site, an owner or the whole portfolio."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q, QuerySet, Sum

from common.errors import NotFound
from fleet.models import Asset, ChargingSession, Pack, Site


class UnknownSite(NotFound):
    """No such site."""

    code = "unknown_site"


@dataclass(frozen=True, slots=True)
class Scope:
    """Sites and metered assets that are looked at together. `pack_asset_ids` are those with a battery
    of their own; `stored_kwh` is what they hold, as far as they have said (None: none has)."""

    site_identities: tuple[str, ...]
    region_id: int | None
    time_zone: str
    asset_ids: tuple[int, ...]
    pack_asset_ids: tuple[int, ...]
    emergency_reserve_kwh: float
    stored_kwh: float | None


def scope_of_site(identity: str) -> Scope:
    """One site with everything at it.

    Raises:
        UnknownSite: there is none.
    """
    sites = Site.objects.filter(identity=identity)
    if not sites.exists():
        raise UnknownSite(f"There is no site {identity!r}.", field="site")
    return _scope(sites, Q(site__identity=identity))


def scope_of_owner(owner_id: int, *, at: datetime) -> Scope:
    """An owner's sites, and the chargers at which the owner's cars are plugged in."""
    cars = ChargingSession.objects.filter(vehicle__owner_id=owner_id, started_at__lte=at)
    plugged_in = cars.filter(Q(ended_at__isnull=True) | Q(ended_at__gt=at)).values_list("evse__asset_id", flat=True)
    return _scope(Site.objects.filter(owner_id=owner_id), Q(site__owner_id=owner_id) | Q(pk__in=list(plugged_in)))


def scope_of_portfolio() -> Scope:
    """Everything."""
    return _scope(Site.objects.all(), Q())


def _scope(sites: QuerySet[Site], assets: Q) -> Scope:
    asset_ids = tuple(Asset.objects.filter(assets).order_by("pk").values_list("pk", flat=True))
    regions = set(sites.values_list("grid_node__region_id", flat=True)[:1000]) or set(
        Asset.objects.filter(assets).values_list("site__grid_node__region_id", flat=True)[:1000]
    )
    first = sites.order_by("pk").first()
    return Scope(
        site_identities=tuple(sites.order_by("identity").values_list("identity", flat=True)),
        # prices and factors are a region's: over several there is no single one
        region_id=next(iter(regions)) if len(regions) == 1 else None,
        time_zone=first.time_zone if first is not None else "UTC",
        asset_ids=asset_ids,
        pack_asset_ids=tuple(
            Pack.objects.filter(asset__in=asset_ids).order_by("pk").values_list("asset_id", flat=True)
        ),
        stored_kwh=Pack.objects.filter(asset__in=asset_ids, soc_fraction__isnull=False).aggregate(
            held=Sum(F("nameplate_kwh") * F("state_of_health_fraction") * F("soc_fraction"))
        )["held"],
        emergency_reserve_kwh=float(sites.aggregate(total=Sum("emergency_reserve_kwh"))["total"] or 0.0),
    )
