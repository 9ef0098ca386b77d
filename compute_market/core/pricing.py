"""What an hour of a core must cost, and how a slice of work is paid.

Prices are per cpu-hour: one core busy for an hour. The books keep six digits, and a second is worth a few of the last:
so amounts follow the lease's running total, and what rounding leaves over is never more than one unit of the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from common.money import to_fine_ledger_amount
from common.units import SECONDS_PER_HOUR

SECONDS = Decimal(int(SECONDS_PER_HOUR))
PRICE_QUANTUM = Decimal("0.000001")
ZERO = Decimal("0.000000")


@dataclass(frozen=True, slots=True)
class Costs:
    """What computing costs an owner: energy in currency/kWh, wear in currency per cpu-hour, margin on both as a fraction."""

    energy_price_per_kwh: Decimal
    wear_per_cpu_hour: Decimal
    margin_fraction: Decimal


@dataclass(frozen=True, slots=True)
class Amounts:
    """Money of some work: what the tenant pays, and to whom it goes; amount = owner + platform."""

    amount: Decimal = ZERO
    owner: Decimal = ZERO
    platform: Decimal = ZERO


def power_kw_per_core(active_power_kw: float, cpu_cores: int) -> float:
    """Power that one busy core adds to a computer standing idle, in kW."""
    return active_power_kw / cpu_cores


def energy_kwh(cpu_s: Decimal | float, core_power_kw: float) -> float:
    """Energy of `cpu_s` seconds of one core."""
    return float(cpu_s) / SECONDS_PER_HOUR * core_power_kw


def floor_price_per_cpu_hour(costs: Costs, core_power_kw: float) -> Decimal:
    """Least that an owner must get for a cpu-hour: (energy + wear) · (1 + margin), rounded up."""
    energy = Decimal(str(core_power_kw)) * costs.energy_price_per_kwh
    floor = (energy + costs.wear_per_cpu_hour) * (1 + costs.margin_fraction)
    return floor.quantize(PRICE_QUANTUM, rounding=ROUND_UP)


def ask_price_per_cpu_hour(floor: Decimal, platform_share_fraction: Decimal) -> Decimal:
    """What a tenant must pay for a cpu-hour so that the owner gets the floor: floor / (1 − share), rounded up."""
    return (floor / (1 - platform_share_fraction)).quantize(PRICE_QUANTUM, rounding=ROUND_UP)


def total_amounts(cpu_s: Decimal, price_per_cpu_hour: Decimal, platform_share_fraction: Decimal) -> Amounts:
    """Money of a lease's work so far, at the precision of the books."""
    amount = to_fine_ledger_amount(cpu_s * price_per_cpu_hour / SECONDS)
    owner = to_fine_ledger_amount(amount * (1 - platform_share_fraction))
    return Amounts(amount, owner, amount - owner)


def slice_amounts(
    *, cpu_s_before: Decimal, cpu_s: Decimal, price_per_cpu_hour: Decimal, platform_share_fraction: Decimal
) -> Amounts:
    """Money of the next slice of a lease: total after it less total before it; none of the three is ever negative."""
    before = total_amounts(cpu_s_before, price_per_cpu_hour, platform_share_fraction)
    after = total_amounts(cpu_s_before + cpu_s, price_per_cpu_hour, platform_share_fraction)
    return Amounts(after.amount - before.amount, after.owner - before.owner, after.platform - before.platform)


def cost_cap(price_cap_per_cpu_hour: Decimal, cpu_limit_s: int) -> Decimal:
    """Most that a job can cost: every second of its CPU time at the highest price."""
    return to_fine_ledger_amount(price_cap_per_cpu_hour * cpu_limit_s / SECONDS)


def value_per_kwh(price_per_cpu_hour: Decimal, core_power_kw: float) -> float:
    """What computing pays for a kWh that it takes; zero where it takes none."""
    return float(price_per_cpu_hour) / core_power_kw if core_power_kw > 0 else 0.0
