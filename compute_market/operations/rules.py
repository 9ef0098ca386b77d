"""The rules of the market as settings state them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.conf import settings

from common.errors import InvalidInput
from compute_market.core.pricing import Costs

# A program that faults is tried on a second computer, then the job has failed.
MOST_FAULTS = 2
# So many computers that cannot even start a job, or so many tries where there are fewer: the fault is not theirs.
COMPUTERS_THAT_FAULT = 3
MOST_COMPUTER_FAULTS = 10
CHECKPOINTS_KEPT = 2
MIB = 1024 * 1024
MOST_PROGRAM_BYTES = 8 * MIB
MOST_INPUT_BYTES = 8 * MIB
MOST_OUTPUT_BYTES = 8 * MIB
MOST_CHECKPOINT_BYTES = 64 * MIB
MOST_MEMORY_MIB = 4096
MOST_CPU_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class MarketRules:
    """Times in seconds, shares as fractions."""

    lease_s: int
    report_s: float
    checkpoint_s: float
    poll_s: float
    platform_share_fraction: Decimal

    @property
    def lease(self) -> timedelta:
        """How long a lease lasts without renewal."""
        return timedelta(seconds=self.lease_s)

    @property
    def offer_stale(self) -> timedelta:
        """For how long an agent may be silent before its offer no longer counts."""
        return timedelta(seconds=max(10.0, 5 * self.poll_s))


def market_rules() -> MarketRules:
    """The rules in force."""
    return MarketRules(
        lease_s=settings.COMPUTE_LEASE_S,
        report_s=settings.COMPUTE_REPORT_S,
        checkpoint_s=settings.COMPUTE_CHECKPOINT_S,
        poll_s=settings.COMPUTE_POLL_S,
        platform_share_fraction=Decimal(settings.COMPUTE_PLATFORM_SHARE_FRACTION),
    )


def require_currency(currency: str) -> str:
    """Return the currency.

    Raises:
        InvalidInput: computing is not paid in it.
    """
    if currency not in settings.COMPUTE_ENERGY_PRICE_PER_KWH:
        known = ", ".join(sorted(settings.COMPUTE_ENERGY_PRICE_PER_KWH))
        raise InvalidInput(f"{currency!r} is not paid here", field="currency", remedy=f"Use one of {known}.")
    return currency


def owner_costs(currency: str, *, energy_price_per_kwh: Decimal | None) -> Costs:
    """What computing costs an owner in this currency; their own energy price counts where they named one."""
    require_currency(currency)
    energy = energy_price_per_kwh
    if energy is None:
        energy = Decimal(settings.COMPUTE_ENERGY_PRICE_PER_KWH[currency])
    return Costs(
        energy_price_per_kwh=energy,
        wear_per_cpu_hour=Decimal(settings.COMPUTE_WEAR_PER_CPU_HOUR[currency]),
        margin_fraction=Decimal(settings.COMPUTE_MARGIN_FRACTION),
    )
