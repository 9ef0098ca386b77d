"""Why a car does what it does: rules from a frozen state to a sentence's code and its values.

The words stand in the portal's translation files alone, under `sentence.<code>`. A sentence says what, because, and
what next. Powers in it are never negative: direction is in the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

# A value of a sentence. Its name tells the portal how to write it: `*_kw`, `*_kwh`, `*_percent`, `*_at`,
# `*_age_s`, `*_money` (per what, the text says), `*_power` (kW, written with its unit), counts otherwise.
Value = float | int | datetime | Decimal | str

MOVING_KW = 0.1  # below this a car neither charges nor sends: it is the meter's noise and the charger's own use
STALE_AFTER = timedelta(minutes=5)
NO_ANSWER_AFTER = timedelta(seconds=30)
MET_FRACTION = 0.005  # how near to the goal counts as met: what a car shows as the same whole percent
PRICE_DIFFERENCE = 0.0005  # per kWh; less is not worth a sentence


@dataclass(frozen=True, slots=True)
class Sentence:
    """`code` names the text, `values` fill its placeholders."""

    code: str
    values: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of the plan with one power (+ into the car), the mean price and, where known, kg CO2 per kWh."""

    starts_at: datetime
    ends_at: datetime
    power_kw: float
    price_per_kwh: float | None = None
    kg_per_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class EmergencyCall:
    """A site that runs in emergency mode with the owner's consent."""

    until_at: datetime
    energy_kwh: float


@dataclass(frozen=True, slots=True)
class SiteSqueeze:
    """The rest of the site uses so much that the car gets less than it would take."""

    site_kw: float
    limit_kw: float


@dataclass(frozen=True, slots=True)
class UnansweredCommand:
    """A command sent to the charger that nothing has come back for."""

    sent_at: datetime
    next_try_at: datetime


@dataclass(frozen=True, slots=True)
class CarState:
    """All that is known of one car at one instant. None: not known, or there is no such thing.

    `power_kw` is measured, positive into the car. `reachable_soc_fraction` is what charging flat out from now gives by
    `ready_at`; `latest_plug_in_at` the last instant at which plugging in still meets the goal.
    """

    now: datetime
    plugged_in: bool
    soc_fraction: float | None
    heard_at: datetime | None
    power_kw: float | None = None
    goal_soc_fraction: float | None = None
    floor_soc_fraction: float = 0.0
    ready_at: datetime | None = None
    battery_capacity_kwh: float = 0.0
    reachable_soc_fraction: float | None = None
    latest_plug_in_at: datetime | None = None
    charge_now_until: datetime | None = None
    charger_lost_at: datetime | None = None
    plan_valid_until: datetime | None = None
    unanswered: UnansweredCommand | None = None
    emergency: EmergencyCall | None = None
    squeeze: SiteSqueeze | None = None
    standby_money_per_hour: Decimal | None = None
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class ComputerState:
    """A car's computer at one instant.

    `offered`: its agent is there and offers it. `refused_because`: the word of the owner's terms that stand in the way
    (unplugged, low_battery, soc_unknown, departure, emergency), empty if none. Money is per hour of computing.
    """

    consented: bool
    rented: bool
    offered: bool
    refused_because: str = ""
    income_money: Decimal | None = None
    power_cost_money: Decimal | None = None
    wear_money: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class PortfolioState:
    """A running event as a whole; powers in the direction asked for, never negative.

    `offline` and `at_floor` count participants that cannot give what was planned of them.
    """

    target_kw: float
    delivered_kw: float
    ends_at: datetime
    offline: int = 0
    at_floor: int = 0


def describe_car(state: CarState) -> Sentence:
    """The one sentence that matters most: what is wrong comes before what is going on, before what will be."""
    for rule in (
        _emergency,
        _offline,
        _unplugged,
        _no_answer,
        _stale,
        _override,
        _below_floor,
        _late,
        _sending,
        _charging,
        _standby,
        _done,
        _waiting,
    ):
        sentence = rule(state)
        if sentence is not None:
            return sentence
    return Sentence("idle")


_REFUSED = {
    "unplugged": Sentence("compute.unplugged"),
    "low_battery": Sentence("compute.low_battery"),
    "soc_unknown": Sentence("compute.soc_unknown"),
    "departure": Sentence("compute.departure"),
    "emergency": Sentence("compute.emergency"),
}


def describe_computer(state: ComputerState) -> Sentence:
    """Whether the computer is rented, and if not, why not."""
    income, cost = state.income_money, state.power_cost_money
    if not state.consented:
        return Sentence("compute.no_consent")
    if state.rented:
        if income is None or cost is None:
            return Sentence("compute.rented")
        return Sentence("compute.on", {"kept_money": max(Decimal(0), income - cost - state.wear_money)})
    if income is not None and cost is not None and income < cost:
        return Sentence("compute.off", {"income_money": income, "cost_money": cost})
    if not state.offered:
        return Sentence("compute.away")
    return _REFUSED.get(state.refused_because, Sentence("compute.idle"))


def describe_portfolio(state: PortfolioState) -> Sentence:
    """The event's gap and its cause. Less than one per cent short counts as on target."""
    gap_kw = state.target_kw - state.delivered_kw
    values: dict[str, Value] = {
        "delivered_power": max(0.0, state.delivered_kw),
        "target_power": state.target_kw,
        "ends_at": state.ends_at,
    }
    if gap_kw <= 0.01 * state.target_kw:
        share = 100 * state.delivered_kw / state.target_kw
        return Sentence("ops.ok", {**values, "share_percent": share})
    short = {**values, "gap_power": gap_kw}
    if state.offline or state.at_floor:
        return Sentence("ops.short", {**short, "offline": state.offline, "at_floor": state.at_floor})
    return Sentence("ops.short.unexplained", short)


def next_block(blocks: Sequence[Block], now: datetime) -> Block | None:
    """The first stretch after the running one in which the car charges."""
    return next((block for block in blocks if block.starts_at > now and block.power_kw > MOVING_KW), None)


def running_block(blocks: Sequence[Block], now: datetime) -> Block | None:
    """The stretch of the plan that `now` lies in."""
    return next((block for block in blocks if block.starts_at <= now < block.ends_at), None)


def _percent(fraction: float) -> float:
    return 100 * fraction


def _charges(state: CarState) -> bool:
    return state.power_kw is not None and state.power_kw > MOVING_KW


def _emergency(state: CarState) -> Sentence | None:
    call = state.emergency
    if call is None or call.until_at <= state.now or not state.plugged_in:
        return None
    return Sentence(
        "emergency",
        {"t_at": call.until_at, "send_kwh": call.energy_kwh, "floor_percent": _percent(state.floor_soc_fraction)},
    )


def _offline(state: CarState) -> Sentence | None:
    if not state.plugged_in or state.charger_lost_at is None:
        return None
    if state.plan_valid_until is not None and state.plan_valid_until > state.now:
        return Sentence("offline", {"t_at": state.charger_lost_at, "until_at": state.plan_valid_until})
    return Sentence("offline.alone", {"t_at": state.charger_lost_at})


def _unplugged(state: CarState) -> Sentence | None:
    if state.plugged_in:
        return None
    if state.ready_at is None:
        return Sentence("unplugged.anytime")
    if state.latest_plug_in_at is None:
        return Sentence("unplugged.ready", {"ready_at": state.ready_at})
    if state.latest_plug_in_at <= state.now:
        return Sentence("unplugged.now", {"ready_at": state.ready_at})
    return Sentence("unplugged", {"t_at": state.latest_plug_in_at, "ready_at": state.ready_at})


def _no_answer(state: CarState) -> Sentence | None:
    unanswered = state.unanswered
    if unanswered is None or state.now - unanswered.sent_at < NO_ANSWER_AFTER:
        return None
    return Sentence("no.answer", {"t_at": unanswered.sent_at, "next_at": unanswered.next_try_at})


def _stale(state: CarState) -> Sentence | None:
    if state.heard_at is None or state.soc_fraction is None or state.now - state.heard_at <= STALE_AFTER:
        return None
    age_s = (state.now - state.heard_at).total_seconds()
    return Sentence("stale", {"heard_age_s": age_s, "soc_percent": _percent(state.soc_fraction)})


def _override(state: CarState) -> Sentence | None:
    if state.charge_now_until is None or state.charge_now_until <= state.now:
        return None
    goal = state.goal_soc_fraction if state.goal_soc_fraction is not None else 1.0
    return Sentence("override", {"goal_percent": _percent(goal)})


def _below_floor(state: CarState) -> Sentence | None:
    if state.soc_fraction is None or state.soc_fraction >= state.floor_soc_fraction - MET_FRACTION:
        return None
    values = {"soc_percent": _percent(state.soc_fraction), "floor_percent": _percent(state.floor_soc_fraction)}
    return Sentence("floor", values)


def _late(state: CarState) -> Sentence | None:
    goal, reachable = state.goal_soc_fraction, state.reachable_soc_fraction
    if goal is None or reachable is None or state.ready_at is None or reachable >= goal - MET_FRACTION:
        return None
    return Sentence(
        "late",
        {
            "reachable_percent": _percent(reachable),
            "goal_percent": _percent(goal),
            "ready_at": state.ready_at,
            "short_kwh": (goal - reachable) * state.battery_capacity_kwh,
        },
    )


def _sending(state: CarState) -> Sentence | None:
    if state.power_kw is None or state.power_kw >= -MOVING_KW:
        return None
    block = running_block(state.blocks, state.now)
    values: dict[str, Value] = {"send_kw": -state.power_kw, "floor_percent": _percent(state.floor_soc_fraction)}
    if block is None or block.power_kw >= -MOVING_KW:
        return Sentence("send.now", values)
    ends_at = _end_of_run(state.blocks, block, sending=True)
    return Sentence("send.peak", {**values, "t_at": ends_at})


def _charging(state: CarState) -> Sentence | None:
    if not _charges(state) or state.power_kw is None:
        return None
    charge_kw = state.power_kw
    if state.squeeze is not None:
        squeeze = state.squeeze
        return Sentence(
            "site.limit", {"charge_kw": charge_kw, "site_kw": squeeze.site_kw, "limit_kw": squeeze.limit_kw}
        )
    values: dict[str, Value] = {"charge_kw": charge_kw}
    if state.ready_at is None or state.goal_soc_fraction is None:
        return Sentence("charge.anytime", values)
    values |= {"ready_at": state.ready_at, "goal_percent": _percent(state.goal_soc_fraction)}
    block = running_block(state.blocks, state.now)
    if block is not None and _is_cheap(state.blocks, block):
        return Sentence("charge.cheap", {**values, "t_at": _end_of_run(state.blocks, block, sending=False)})
    return Sentence("charge.plan", values)


def _is_cheap(blocks: Sequence[Block], block: Block) -> bool:
    """Whether the stretch costs less than the mean of what lies ahead."""
    prices = [other.price_per_kwh for other in blocks if other.price_per_kwh is not None]
    if block.price_per_kwh is None or not prices:
        return False
    return block.price_per_kwh < sum(prices) / len(prices) - PRICE_DIFFERENCE


def _end_of_run(blocks: Sequence[Block], block: Block, *, sending: bool) -> datetime:
    """When the run of like blocks ends that this one belongs to."""
    ends_at = block.ends_at
    for other in blocks:
        alike = other.power_kw < -MOVING_KW if sending else other.power_kw > MOVING_KW
        if other.starts_at == ends_at and alike:
            ends_at = other.ends_at
    return ends_at


def _standby(state: CarState) -> Sentence | None:
    if state.standby_money_per_hour is None or state.soc_fraction is None:
        return None
    values: dict[str, Value] = {
        "soc_percent": _percent(state.soc_fraction),
        "standby_money": state.standby_money_per_hour,
    }
    return Sentence("standby", values)


def _done(state: CarState) -> Sentence | None:
    if state.soc_fraction is None or state.goal_soc_fraction is None:
        return None
    if state.soc_fraction < state.goal_soc_fraction - MET_FRACTION:
        return None
    values: dict[str, Value] = {"soc_percent": _percent(state.soc_fraction)}
    if state.ready_at is None:
        return Sentence("done.anytime", values)
    return Sentence("done", {**values, "ready_at": state.ready_at})


def _waiting(state: CarState) -> Sentence | None:
    block = next_block(state.blocks, state.now)
    if block is None:
        return None
    running = running_block(state.blocks, state.now)
    if running is not None and running.price_per_kwh is not None and block.price_per_kwh is not None:
        cheaper = running.price_per_kwh - block.price_per_kwh
        if cheaper > PRICE_DIFFERENCE:
            return Sentence("wait.price", {"t_at": block.starts_at, "cheaper_money": Decimal(str(round(cheaper, 6)))})
    if (
        running is not None
        and running.kg_per_kwh is not None
        and block.kg_per_kwh is not None
        and block.kg_per_kwh < running.kg_per_kwh
    ):
        return Sentence("wait.clean", {"t_at": block.starts_at})
    if state.ready_at is None or state.goal_soc_fraction is None:
        return Sentence("wait.anytime", {"t_at": block.starts_at})
    values: dict[str, Value] = {"ready_at": state.ready_at, "goal_percent": _percent(state.goal_soc_fraction)}
    return Sentence("wait.plan", {"t_at": block.starts_at, **values})
