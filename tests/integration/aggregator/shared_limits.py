"""A parked fleet as several regions that share a portfolio's limit."""

from __future__ import annotations

from datetime import datetime, timedelta

from aggregator.models import Portfolio, PortfolioLimit, PortfolioRegion
from fleet.models import GridNode, Region, Site
from grid.models import PricePoint, PriceSeries
from tests.integration.aggregator.parked_fleet import NOW, park_fleet

CHEAP_AFTER_H = 4.0  # see `park_fleet`'s prices


def park_portfolio(*, vehicles: int, regions: int, hub: bool = False, now: datetime = NOW) -> Portfolio:
    """Park a fleet, deal its sites out to regions, and price energy in each a little differently."""
    first = park_fleet(vehicles=vehicles, hub=hub, now=now)
    portfolio = Portfolio.objects.create(code="shared", name="Shared", currency=first.currency)
    members = [first]
    for number in range(1, regions):
        region = Region.objects.create(
            code=f"{first.code}-{number}",
            name=f"Region {number}",
            country=first.country,
            time_zone=first.time_zone,
            currency=first.currency,
        )
        _copy_prices(first, region, cents=number)
        members.append(region)
    nodes = [GridNode.objects.create(region=region, code=f"node-{region.code}", name=region.name) for region in members]
    for place, site in enumerate(Site.objects.order_by("identity")):
        Site.objects.filter(pk=site.pk).update(grid_node=nodes[place % regions])
    PortfolioRegion.objects.bulk_create(PortfolioRegion(portfolio=portfolio, region=region) for region in members)
    return portfolio


def limit_import(portfolio: Portfolio, import_limit_kw: float, *, hours: float = 4.0, now: datetime = NOW) -> None:
    """From the hour in which energy becomes cheap, and everybody would charge."""
    PortfolioLimit.objects.create(
        portfolio=portfolio,
        starts_at=now + timedelta(hours=CHEAP_AFTER_H),
        ends_at=now + timedelta(hours=CHEAP_AFTER_H + hours),
        import_limit_kw=import_limit_kw,
        missed_price_per_kwh="3",
        reason="a test",
    )


def _copy_prices(source: Region, region: Region, *, cents: int) -> None:
    series = PriceSeries.objects.create(code=f"prices-{region.code}", region=region, currency=region.currency)
    PricePoint.objects.bulk_create(
        PricePoint(
            series=series,
            starts_at=point.starts_at,
            ends_at=point.ends_at,
            price_per_kwh=float(point.price_per_kwh) + cents / 100,
        )
        for point in PricePoint.objects.filter(series__region=source)
    )
