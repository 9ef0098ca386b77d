"""Money: Decimal amounts, rounded in this one place."""

from __future__ import annotations

from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

# Minor-unit exponents of ISO 4217 for the currencies that our programmes use.
MINOR_UNIT_DIGITS = {"JPY": 0, "EUR": 2, "USD": 2, "GBP": 2}

# The books keep four digits below the currency unit, so that a share of a few watt-hours is not rounded to nothing;
# payouts are rounded to the minor unit when they leave the platform.
LEDGER_QUANTUM = Decimal("0.0001")
# A second of computing is worth some millionths of a euro; the ledger's column holds no finer amount than this.
FINE_LEDGER_QUANTUM = Decimal("0.000001")


def to_ledger_amount(amount: Decimal | float | int | str) -> Decimal:
    """Round an amount to the precision of the books (four digits, half to even)."""
    return Decimal(str(amount)).quantize(LEDGER_QUANTUM, rounding=ROUND_HALF_EVEN)


def to_fine_ledger_amount(amount: Decimal) -> Decimal:
    """Round an amount of very small work to the last digit that the books can hold (six digits, half to even)."""
    return amount.quantize(FINE_LEDGER_QUANTUM, rounding=ROUND_HALF_EVEN)


def to_payable_amount(amount: Decimal, currency: str) -> Decimal:
    """Round an amount to the minor unit of its currency (ISO 4217), half to even.

    Raises:
        KeyError: the currency is not one that the platform pays in.
    """
    return amount.quantize(Decimal(1).scaleb(-MINOR_UNIT_DIGITS[currency]), rounding=ROUND_HALF_EVEN)


def split_amount(amount: Decimal, weights: list[Decimal]) -> list[Decimal]:
    """Split an amount by weights so that the parts add up to it exactly.

    Largest remainders: every part is rounded down to the ledger's precision, and the quanta that are left over go, one
    each, to the parts that lost most by it (of equals, to the first). So no part is off by a whole quantum, and a
    weight of zero gets nothing.

    Args:
        amount: what is split, already at the ledger's precision; may be negative.
        weights: non-negative, at least one above zero.

    Raises:
        ValueError: there is no positive weight, or a weight is negative.
    """
    total = sum(weights, Decimal(0))
    if total <= 0 or any(weight < 0 for weight in weights):
        raise ValueError("weights must be non-negative and add up to more than zero")
    exact = [amount * weight / total for weight in weights]
    parts = [part.quantize(LEDGER_QUANTUM, rounding=ROUND_FLOOR) for part in exact]
    left_over = int((amount - sum(parts, Decimal(0))) / LEDGER_QUANTUM)
    losers = sorted(range(len(parts)), key=lambda index: parts[index] - exact[index])
    for index in losers[:left_over]:
        parts[index] += LEDGER_QUANTUM
    return parts
