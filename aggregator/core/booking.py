"""Ledger arithmetic of an event: which lines a settlement amounts to, and which are left to book after earlier ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

# (kind of account, party, unit, asset or None)
LineKey = tuple[str, str, str, int | None]


@dataclass(frozen=True, slots=True)
class ShareToBook:
    """What one asset's part in an event comes to. `owner_identity` empty: the platform's own."""

    asset_id: int
    owner_identity: str
    payment: Decimal
    delivered_kwh: Decimal
    avoided_co2_kg: Decimal


def event_lines(
    *, operator: str, currency: str, payment: Decimal, shares: Sequence[ShareToBook]
) -> dict[LineKey, Decimal]:
    """Everything that a settled event amounts to. Each unit adds up to zero; zero amounts are left out.

    Money: the operator gives the payment, each asset's owner receives its share, the platform the rest (or gives what a
    penalty exceeds the earnings by). Energy: the owners' assets give what they delivered, the operator receives it.
    CO2: what was avoided comes from nowhere but its source, and stands in the account of who avoided it.
    """
    lines: defaultdict[LineKey, Decimal] = defaultdict(Decimal)
    to_owners = Decimal(0)
    for share in shares:
        if share.owner_identity:
            lines["owner", share.owner_identity, currency, share.asset_id] += share.payment
            to_owners += share.payment
        lines["energy_source", share.owner_identity, "kWh", share.asset_id] -= share.delivered_kwh
        lines["energy_grid", operator, "kWh", None] += share.delivered_kwh
        lines["carbon_account", share.owner_identity, "kgCO2", share.asset_id] += share.avoided_co2_kg
        lines["carbon_source", "", "kgCO2", None] -= share.avoided_co2_kg
    lines["grid_operator", operator, currency, None] -= payment
    lines["platform", "", currency, None] += payment - to_owners
    return {key: amount for key, amount in lines.items() if amount != 0}


def lines_left_to_book(
    wanted: Mapping[LineKey, Decimal], booked: Iterable[tuple[LineKey, Decimal]]
) -> dict[LineKey, Decimal]:
    """What must be booked so that the books come to `wanted`: the difference to what is booked, without zeros.

    As both add up to zero in every unit, so does the difference.
    """
    left = defaultdict(Decimal, wanted)
    for key, amount in booked:
        left[key] -= amount
    return {key: amount for key, amount in left.items() if amount != 0}
