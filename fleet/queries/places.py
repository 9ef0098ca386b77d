"""Regions and sites as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Sum

from common.errors import NotFound
from fleet.models import Region, Site


class UnknownRegion(NotFound):
    """No region of that code."""

    code = "unknown_region"


@dataclass(frozen=True, slots=True)
class RegionView:
    """A bidding zone or control area."""

    region_id: int
    code: str
    name: str
    country: str
    time_zone: str
    currency: str


@dataclass(frozen=True, slots=True)
class SiteGroup:
    """The sites of one kind in one region, together; no single site can be told from it."""

    region_code: str
    kind: str
    sites: int
    assets: int
    import_limit_kw: float
    export_limit_kw: float


def regions() -> list[RegionView]:
    """Every region, by code."""
    return [_view(row) for row in Region.objects.order_by("code")]


def region_by_code(code: str) -> RegionView:
    """One region.

    Raises:
        UnknownRegion: there is none of that code.
    """
    row = Region.objects.filter(code=code).first()
    if row is None:
        known = ", ".join(Region.objects.order_by("code").values_list("code", flat=True)[:5])
        raise UnknownRegion(
            f"There is no region {code!r}.",
            field="region",
            remedy=f"Known are {known}." if known else "Register one first; create_charger makes a first one.",
        )
    return _view(row)


def site_groups() -> list[SiteGroup]:
    """How many sites and assets stand where, and what their connections carry together, by region and kind."""
    # two questions, because joining assets would count a site's limits once per asset
    limits = (
        Site.objects.values("grid_node__region__code", "kind")
        .annotate(sites=Count("pk"), imports=Sum("import_limit_kw"), exports=Sum("export_limit_kw"))
        .order_by("grid_node__region__code", "kind")
    )
    assets = {
        (row["grid_node__region__code"], row["kind"]): row["count"]
        for row in Site.objects.values("grid_node__region__code", "kind").annotate(count=Count("assets"))
    }
    return [
        SiteGroup(
            region_code=row["grid_node__region__code"],
            kind=row["kind"],
            sites=row["sites"],
            assets=assets.get((row["grid_node__region__code"], row["kind"]), 0),
            import_limit_kw=row["imports"],
            export_limit_kw=row["exports"],
        )
        for row in limits
    ]


def _view(row: Region) -> RegionView:
    return RegionView(row.pk, row.code, row.name, row.country, row.time_zone, row.currency)
