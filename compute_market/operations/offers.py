"""Offering a computer's idle time, and taking the offer back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from common.errors import InvalidInput, NotFound
from compute_market.core.pricing import ask_price_per_cpu_hour, floor_price_per_cpu_hour, power_kw_per_core
from compute_market.core.terms import CarCondition, OwnerTerms, earlier, refusal, stricter_soc
from compute_market.models import ComputingTerms, Offer, OfferState
from compute_market.operations.rules import market_rules, owner_costs
from compute_market.queries.terms import terms_of
from fleet.queries.computers import ComputerState, computer_states


class UnknownComputer(NotFound):
    """There is no such computer."""

    code = "unknown_computer"


@dataclass(frozen=True, slots=True)
class CarReport:
    """What an agent says of its car; None: it does not know."""

    plugged_in: bool = True
    soc_fraction: float | None = None
    departure_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OfferPublished:
    """The offer as it stands. `refused_because` is empty while the computer may get work; without consent there is
    no offer and `offer_id` is None."""

    offer_id: int | None
    refused_because: str


@transaction.atomic
def publish_offer(
    *, computer_id: int, report: CarReport, memory_mib: int, isolation: str = "", now: datetime
) -> OfferPublished:
    """Make the computer's offer, or renew it with what the agent now says.

    Raises:
        UnknownComputer, InvalidInput: a fraction is outside 0 to 1, or there is no memory to offer.
    """
    if report.soc_fraction is not None and not 0 <= report.soc_fraction <= 1:
        raise InvalidInput("must lie between 0 and 1", field="soc_fraction", remedy="Send 0.55 for 55 %.")
    if memory_mib < 1:
        raise InvalidInput("must be above zero", field="memory_mib", remedy="Offer at least 1 MiB.")
    state = computer_state(computer_id)
    terms = terms_of(computer_id)
    because = refusal(
        car_condition(state, report),
        minimum_soc_fraction=terms.minimum_soc_fraction,
        departure_margin_s=terms.departure_margin_s,
        now=now,
    )
    if because == "no_consent" or not state.currency:
        withdraw_offer(computer_id=computer_id, reason=because or "no_region", now=now)
        return OfferPublished(None, because or "no_region")
    offer = Offer.objects.select_for_update().filter(computer_id=computer_id, state=OfferState.OPEN).first()
    if offer is None:
        offer = Offer(computer_id=computer_id, published_at=now)
    offer.minimum_soc_fraction = terms.minimum_soc_fraction
    offer.departure_margin_s = terms.departure_margin_s
    offer.ask_per_cpu_hour = asking_price(state, terms)
    offer.currency = state.currency
    offer.cpu_cores = state.cpu_cores
    offer.memory_mib = min(memory_mib, state.memory_mib)
    offer.isolation = isolation[:120]
    offer.agent_soc_fraction = report.soc_fraction
    offer.agent_departure_at = report.departure_at
    offer.agent_plugged_in = report.plugged_in
    offer.refused_because = because
    offer.last_seen_at = now
    offer.save()
    return OfferPublished(offer.pk, because)


@transaction.atomic
def withdraw_offer(*, computer_id: int, reason: str, now: datetime) -> bool:
    """Close the computer's open offer; False if it has none."""
    return bool(
        Offer.objects.filter(computer_id=computer_id, state=OfferState.OPEN).update(
            state=OfferState.WITHDRAWN, withdrawal_reason=reason[:40], withdrawn_at=now
        )
    )


@transaction.atomic
def set_terms(*, computer_id: int, terms: OwnerTerms, now: datetime) -> None:
    """Set on which terms an owner rents out a computer; the agent's next word makes its offer follow them.

    Raises:
        UnknownComputer, InvalidInput: a fraction is outside 0 to 1, or a price or margin is negative.
    """
    computer_state(computer_id)
    if not 0 <= terms.minimum_soc_fraction <= 1:
        raise InvalidInput("must lie between 0 and 1", field="minimum_soc_fraction", remedy="Give 0.3 for 30 %.")
    for field in ("departure_margin_s", "floor_price_per_cpu_hour", "energy_price_per_kwh"):
        value = getattr(terms, field)
        if value is not None and value < 0:
            raise InvalidInput("must not be negative", field=field, remedy="Give zero or more.")
    ComputingTerms.objects.update_or_create(
        computer_id=computer_id,
        defaults={
            "minimum_soc_fraction": terms.minimum_soc_fraction,
            "departure_margin_s": terms.departure_margin_s,
            "floor_price_per_cpu_hour": terms.floor_price_per_cpu_hour,
            "energy_price_per_kwh": terms.energy_price_per_kwh,
            "updated_at": now,
        },
    )


def computer_state(computer_id: int) -> ComputerState:
    """The computer as the fleet knows it.

    Raises:
        UnknownComputer: there is none.
    """
    state = computer_states(computer_ids=[computer_id]).get(computer_id)
    if state is None:
        raise UnknownComputer(f"there is no computer {computer_id}", field="computer_id")
    return state


def car_condition(state: ComputerState, report: CarReport) -> CarCondition:
    """What the fleet knows and what the agent says, the stricter of the two each time."""
    return CarCondition(
        enrolled=state.enrolled,
        consented=state.consented,
        plugged_in=state.plugged_in and report.plugged_in,
        emergency=state.emergency,
        soc_fraction=stricter_soc(state.soc_fraction, report.soc_fraction),
        departure_at=earlier(state.departure_at, report.departure_at),
    )


def asking_price(state: ComputerState, terms: OwnerTerms) -> Decimal:
    """What a tenant must pay per cpu-hour: the cost floor or the owner's own, whichever is higher, plus our share."""
    core_power_kw = power_kw_per_core(state.active_power_kw, state.cpu_cores)
    costs = owner_costs(state.currency, energy_price_per_kwh=terms.energy_price_per_kwh)
    floor = max(floor_price_per_cpu_hour(costs, core_power_kw), terms.floor_price_per_cpu_hour or Decimal(0))
    return ask_price_per_cpu_hour(floor, market_rules().platform_share_fraction)
