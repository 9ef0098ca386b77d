"""A plan as people read it: stretches of charging, sending and rest, each with what it costs and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from aggregator.core.sentences import MOVING_KW, Block, Sentence, Value


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step of one asset's plan: mean power (+ into the asset), energy in the battery at its end, the price, and
    whether a grid event asks for something in it."""

    starts_at: datetime
    ends_at: datetime
    power_kw: float
    energy_kwh: float | None
    price_per_kwh: float
    in_event: bool = False

    @property
    def hours(self) -> float:
        return (self.ends_at - self.starts_at).total_seconds() / 3600


@dataclass(frozen=True, slots=True)
class PlanBlock:
    """Consecutive steps of one direction. `energy_kwh` and `money` are never negative: the direction says which way.

    `money` is what the energy costs (charge) or what it is worth (send) at the steps' own prices; `soc_kwh` is what the
    battery holds at the end.
    """

    direction: str  # charge, send or rest
    starts_at: datetime
    ends_at: datetime
    power_kw: float
    energy_kwh: float
    money: float
    price_per_kwh: float
    soc_kwh: float | None
    why: Sentence


def plan_steps(
    *,
    starts_at: datetime,
    step_h: Sequence[float],
    power_kw: Sequence[float],
    energy_kwh: Sequence[float | None],
    price_per_kwh: Sequence[float],
    target_kw: Sequence[float | None] = (),
) -> list[PlanStep]:
    """Lay the arrays of a stored plan out as steps. A step with a target lies in an event."""
    steps, at = [], starts_at
    for index, hours in enumerate(step_h):
        ends_at = at + timedelta(hours=hours)
        in_event = index < len(target_kw) and target_kw[index] is not None
        steps.append(PlanStep(at, ends_at, power_kw[index], energy_kwh[index], price_per_kwh[index], in_event))
        at = ends_at
    return steps


def direction_of(power_kw: float) -> str:
    """charge, send or rest."""
    if power_kw > MOVING_KW:
        return "charge"
    return "send" if power_kw < -MOVING_KW else "rest"


def plan_blocks(
    steps: Sequence[PlanStep], *, ready_at: datetime | None = None, floor_kwh: float = 0.0
) -> list[PlanBlock]:
    """Join neighbouring steps of one direction, and say why each stretch stands where it does."""
    blocks = []
    for direction, group in groupby(steps, key=lambda step: direction_of(step.power_kw)):
        run = list(group)
        hours = sum(step.hours for step in run)
        signed_kwh = sum(step.power_kw * step.hours for step in run)
        money = sum(abs(step.power_kw) * step.hours * step.price_per_kwh for step in run)
        energy_kwh = abs(signed_kwh) if direction != "rest" else 0.0
        mean_price = sum(step.price_per_kwh * step.hours for step in run) / hours
        blocks.append(
            PlanBlock(
                direction=direction,
                starts_at=run[0].starts_at,
                ends_at=run[-1].ends_at,
                power_kw=signed_kwh / hours,
                energy_kwh=energy_kwh,
                money=money if direction != "rest" else 0.0,
                price_per_kwh=money / energy_kwh if energy_kwh else mean_price,
                soc_kwh=run[-1].energy_kwh,
                why=_why(direction, run, steps, ready_at=ready_at, floor_kwh=floor_kwh),
            )
        )
    return blocks


def sentence_blocks(blocks: Sequence[PlanBlock]) -> tuple[Block, ...]:
    """The same stretches, as the sentence engine wants them."""
    return tuple(Block(block.starts_at, block.ends_at, block.power_kw, block.price_per_kwh) for block in blocks)


def _why(
    direction: str,
    run: Sequence[PlanStep],
    steps: Sequence[PlanStep],
    *,
    ready_at: datetime | None,
    floor_kwh: float,
) -> Sentence:
    if direction == "rest":
        return Sentence("why.rest")
    if any(step.in_event for step in run):
        return Sentence("why.event.send" if direction == "send" else "why.event.charge")
    price = sum(step.price_per_kwh * step.hours for step in run) / sum(step.hours for step in run)
    if direction == "send":
        return Sentence("why.peak", {"cheaper_percent": _share(steps, lambda other: other.price_per_kwh < price)})
    first_kwh = run[0].energy_kwh
    if first_kwh is not None and first_kwh <= floor_kwh:
        return Sentence("why.floor")
    dearer = _share(steps, lambda other: other.price_per_kwh > price)
    if dearer >= 50:
        values: dict[str, Value] = {"dearer_percent": dearer}
        return Sentence("why.cheap", values)
    if ready_at is not None:
        return Sentence("why.needed", {"ready_at": ready_at})
    return Sentence("why.plan")


def _share(steps: Sequence[PlanStep], holds: Callable[[PlanStep], bool]) -> float:
    """Share of the plan's time, in per cent, for which something holds."""
    total = sum(step.hours for step in steps)
    return 100 * sum(step.hours for step in steps if holds(step)) / total
