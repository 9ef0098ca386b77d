"""What things are called, for pages that hold only their numbers."""

from __future__ import annotations

from collections.abc import Iterable

from fleet.models import Asset, Region, Site


def asset_names(asset_ids: Iterable[int]) -> dict[int, str]:
    """Identity of each asset."""
    return dict(Asset.objects.filter(pk__in=list(asset_ids)).values_list("pk", "identity"))


def site_names(site_ids: Iterable[int]) -> dict[int, str]:
    """Identity of each site."""
    return dict(Site.objects.filter(pk__in=list(site_ids)).values_list("pk", "identity"))


def region_places(region_ids: Iterable[int]) -> dict[int, tuple[str, str, str]]:
    """Code, time zone and currency of each region."""
    rows = Region.objects.filter(pk__in=list(region_ids)).values_list("pk", "code", "time_zone", "currency")
    return {pk: (code, zone, currency) for pk, code, zone, currency in rows}
