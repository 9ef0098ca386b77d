"""Which queued job goes to which idle computer: a posted-price market, cleared in order of urgency.

An order meets an offer if the currency is one, the computer's memory holds the job's (order.memory_mib ≤ offer.memory_mib)
and the asking price keeps the tenant's cap (offer.ask ≤ order.price_cap). Forecasts of departure rank, they do not refuse:
a job that cannot finish here goes on elsewhere from its checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """A queued job. `lost_on` are computers on which it was interrupted by a fault before."""

    job_id: int
    currency: str
    memory_mib: int
    remaining_cpu_s: float
    price_cap_per_cpu_hour: Decimal
    interactive: bool
    deadline_at: datetime | None
    submitted_at: datetime
    lost_on: Collection[int] = field(default=frozenset())


@dataclass(frozen=True, slots=True)
class IdleComputer:
    """An open offer whose owner's terms hold. `available_s` may be infinite."""

    offer_id: int
    computer_id: int
    currency: str
    memory_mib: int
    ask_per_cpu_hour: Decimal
    available_s: float


@dataclass(frozen=True, slots=True)
class Match:
    """A job and the offer that it takes, at the posted price."""

    job_id: int
    offer_id: int
    computer_id: int
    price_per_cpu_hour: Decimal


def urgency(order: Order) -> tuple[bool, float, datetime, int]:
    """Sort key: interactive first, then by deadline, then by age."""
    deadline = order.deadline_at.timestamp() if order.deadline_at else float("inf")
    return (not order.interactive, deadline, order.submitted_at, order.job_id)


def fits(order: Order, computer: IdleComputer) -> bool:
    """Whether the computer can take the order at all."""
    return (
        order.currency == computer.currency
        and order.memory_mib <= computer.memory_mib
        and computer.ask_per_cpu_hour <= order.price_cap_per_cpu_hour
    )


def preference(order: Order, computer: IdleComputer) -> tuple[bool, bool, Decimal, float, int]:
    """Sort key: no fault here before, stays long enough to finish, cheapest, stays longest."""
    return (
        computer.computer_id in order.lost_on,
        computer.available_s < order.remaining_cpu_s,
        computer.ask_per_cpu_hour,
        -computer.available_s,
        computer.offer_id,
    )


def match(orders: Sequence[Order], computers: Sequence[IdleComputer]) -> list[Match]:
    """Pair orders with computers, each at most once, the most urgent order choosing first."""
    free = list(computers)
    matches = []
    for order in sorted(orders, key=urgency):
        candidates = [computer for computer in free if fits(order, computer)]
        if not candidates:
            continue
        best = min(candidates, key=lambda computer: preference(order, computer))
        free.remove(best)
        matches.append(Match(order.job_id, best.offer_id, best.computer_id, best.ask_per_cpu_hour))
    return matches
