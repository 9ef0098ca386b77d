"""What an owner sees of a computer that is rented out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Sum

from compute_market.core.terms import OwnerTerms
from compute_market.models import Lease, LeaseState, Offer, OfferState, WorkSlice
from compute_market.queries.terms import terms_of
from fleet.queries.computers import computer_states


@dataclass(frozen=True, slots=True)
class ComputerSummary:
    """A car's computer at one moment.

    Attributes:
        state: computing, waiting (offered, no job), paused (terms stand in the way), or off (no agent, or no consent).
        paused_because: unplugged, low_battery, soc_unknown, departure, emergency or no_consent; empty unless paused or off.
        earned: the owner's part of all secured work, in `currency`.
        earned_since: the same from `since` on.
    """

    computer_id: int
    identity: str
    consented: bool
    state: str
    paused_because: str
    currency: str
    earned: Decimal
    earned_since: Decimal
    cpu_hours: float
    energy_kwh: float
    ask_per_cpu_hour: Decimal | None
    terms: OwnerTerms


def computer_summary(vehicle_id: int, *, since: datetime | None = None) -> ComputerSummary | None:
    """The computer of a vehicle as its owner sees it; None if the vehicle has none."""
    states = computer_states(vehicle_ids=[vehicle_id])
    if not states:
        return None
    (state,) = states.values()
    offer = Offer.objects.filter(computer_id=state.computer_id, state=OfferState.OPEN).first()
    computing = Lease.objects.filter(computer_id=state.computer_id, state=LeaseState.LIVE).exists()
    work = WorkSlice.objects.filter(lease__computer_id=state.computer_id, secured_at__isnull=False)
    if state.currency:
        work = work.filter(currency=state.currency)
    total = work.aggregate(earned=Sum("owner_amount"), cpu_s=Sum("cpu_s"), energy_kwh=Sum("energy_kwh"))
    recent = work.filter(ended_at__gte=since).aggregate(earned=Sum("owner_amount"))["earned"] if since else None
    because = "no_consent" if not state.consented else offer.refused_because if offer else ""
    return ComputerSummary(
        computer_id=state.computer_id,
        identity=state.identity,
        consented=state.consented,
        state=_state(computing=computing, offered=offer is not None, because=because),
        paused_because="" if computing else because,
        currency=state.currency,
        earned=total["earned"] or Decimal("0.000000"),
        earned_since=recent or Decimal("0.000000"),
        cpu_hours=float(total["cpu_s"] or 0) / 3600,
        energy_kwh=total["energy_kwh"] or 0.0,
        ask_per_cpu_hour=offer.ask_per_cpu_hour if offer else None,
        terms=terms_of(state.computer_id),
    )


def _state(*, computing: bool, offered: bool, because: str) -> str:
    if computing:
        return "computing"
    if not offered:
        return "off"
    return "paused" if because else "waiting"
