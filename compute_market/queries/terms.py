"""On which terms a computer is rented out."""

from __future__ import annotations

from compute_market.core.terms import DEFAULT_TERMS, OwnerTerms
from compute_market.models import ComputingTerms


def terms_of(computer_id: int) -> OwnerTerms:
    """The owner's terms, or the defaults where they never chose."""
    row = ComputingTerms.objects.filter(computer_id=computer_id).first()
    if row is None:
        return DEFAULT_TERMS
    return OwnerTerms(
        minimum_soc_fraction=row.minimum_soc_fraction,
        departure_margin_s=row.departure_margin_s,
        floor_price_per_cpu_hour=row.floor_price_per_cpu_hour,
        energy_price_per_kwh=row.energy_price_per_kwh,
    )
