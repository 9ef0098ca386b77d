"""Which driver serves which kind of market, and what it can do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MarketEntry:
    """One driver.

    Attributes:
        kind: what it speaks.
        module: where it is.
        takes_offers, tells_awards, tells_orders: which capabilities of `grid.markets.driver` it has.
    """

    kind: str
    module: str
    takes_offers: bool
    tells_awards: bool
    tells_orders: bool


MARKETS = {
    entry.kind: entry
    for entry in (
        MarketEntry("csv", "grid.markets.csv_files.driver", takes_offers=True, tells_awards=True, tells_orders=True),
    )
}
