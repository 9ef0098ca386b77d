"""Many cars' computers at once, for pages that list them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from compute_market.models import Lease, LeaseState, Offer, OfferState


@dataclass(frozen=True, slots=True)
class ComputerWork:
    """One car's computer: `income_per_hour` is the owner's part while all leased cores compute, `power_kw` what they
    draw then; both zero unless it is leased."""

    offered: bool
    refused_because: str
    rented: bool
    income_per_hour: Decimal
    power_kw: float


def computer_work(vehicle_ids: Iterable[int]) -> dict[int, ComputerWork]:
    """The computers of these cars that are offered or leased now. Two queries, however many cars."""
    ids = list(vehicle_ids)
    leases = {
        lease.computer.vehicle_id: lease
        for lease in Lease.objects.filter(computer__vehicle_id__in=ids, state=LeaseState.LIVE).select_related(
            "computer"
        )
    }
    offers = {
        offer.computer.vehicle_id: offer
        for offer in Offer.objects.filter(computer__vehicle_id__in=ids, state=OfferState.OPEN).select_related(
            "computer"
        )
    }
    work = {}
    for vehicle_id in leases.keys() | offers.keys():
        lease, offer = leases.get(vehicle_id), offers.get(vehicle_id)
        share = 1 - lease.platform_share_fraction if lease is not None else Decimal(0)
        work[vehicle_id] = ComputerWork(
            offered=offer is not None,
            refused_because=offer.refused_because if offer is not None else "",
            rented=lease is not None,
            income_per_hour=lease.price_per_cpu_hour * lease.cpu_cores * share if lease is not None else Decimal(0),
            power_kw=lease.power_kw_per_core * lease.cpu_cores if lease is not None else 0.0,
        )
    return work
