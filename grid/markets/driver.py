"""What a market can do for the platform: one small protocol per capability. A driver offers those that its market has.

Units and signs are the platform's: kW and kWh, **up is positive** (the grid gets more), aware UTC instants, Decimal prices
in the product's currency. The driver converts at the wire and nothing else does. Handing something over twice is a no-op on
either side: offers carry our reference, awards and orders carry the market's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from grid.operations.awards import AwardInput
from grid.queries.awards import SignalView


@dataclass(frozen=True, slots=True)
class Offer:
    """Power offered for a time. `reference` is ours: the same one again is the same offer."""

    reference: str
    product_code: str
    starts_at: datetime
    ends_at: datetime
    up_kw: float
    down_kw: float
    capacity_price: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Order:
    """What the market said about an award, by the award's reference."""

    reference: str
    signal: SignalView


class TakesOffers(Protocol):
    """Takes our offers."""

    def submit(self, offer: Offer) -> bool:
        """Hand an offer over. False: it was handed over before."""
        ...


class TellsAwards(Protocol):
    """Tells what it has bought."""

    def awards(self) -> Iterator[AwardInput]:
        """Every award that the market still tells, oldest first; those that were told before may come again."""
        ...


class TellsOrders(Protocol):
    """Tells what it orders."""

    def orders(self) -> Iterator[Order]:
        """Every order that the market still tells, oldest first; those that were told before may come again."""
        ...
