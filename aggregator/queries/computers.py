"""What owners' pages say of the computers on board."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from aggregator.core.sentences import ComputerState, Sentence, describe_computer
from aggregator.queries.portal import CarNow
from compute_market.queries.overview import ComputerWork, computer_work


def computer_sentences(cars: Sequence[CarNow], *, now: datetime) -> dict[int, Sentence]:
    """By vehicle: a sentence for each car with a computer."""
    equipped = [car for car in cars if car.car.computer is not None]
    work = computer_work([car.car.vehicle_id for car in equipped]) if equipped else {}
    return {car.car.vehicle_id: describe_computer(_state(car, work.get(car.car.vehicle_id), now)) for car in equipped}


def _state(car: CarNow, work: ComputerWork | None, now: datetime) -> ComputerState:
    consented = "computing" in car.car.consents
    if work is None:
        return ComputerState(consented=consented, rented=False, offered=False)
    price = _price_now(car, now)
    known = work.rented and price is not None
    return ComputerState(
        consented=consented,
        rented=work.rented,
        offered=work.offered,
        refused_because=work.refused_because,
        income_money=work.income_per_hour if known else None,
        power_cost_money=Decimal(str(work.power_kw * price)) if known and price is not None else None,
    )


def _price_now(car: CarNow, now: datetime) -> float | None:
    """The price per kWh that the car's plan counts with now."""
    if car.plan is None:
        return None
    step = next((step for step in car.plan.steps if step.starts_at <= now < step.ends_at), None)
    return step.price_per_kwh if step is not None else None
