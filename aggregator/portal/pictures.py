"""Pictures as numbers: where lines and blocks of the inline SVGs lie. No library, no script, prints and mails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from aggregator.core.blocks import PlanBlock, PlanStep
from aggregator.core.sentences import MOVING_KW

WIDTH = 640
LEFT, RIGHT = 44, 8
SOC_TOP, SOC_BOTTOM = 16, 136
POWER_TOP, POWER_MIDDLE, POWER_BOTTOM = 152, 182, 212
PRICE_TOP, PRICE_BOTTOM = 232, 264
HEIGHT = 288
WIDEST_LABELS = 8


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, and what it stands for."""

    kind: str
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the time axis."""

    x: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PlanPicture:
    """The plan's picture: level, power and price over the same hours. Line values are SVG point lists."""

    width: int
    height: int
    left: int
    right: int
    soc_points: str
    price_points: str
    boxes: tuple[Box, ...]
    marks: tuple[Mark, ...]
    floor_y: str
    goal_y: str
    low_price: float
    high_price: float
    most_kw: float


def _n(value: float) -> str:
    return f"{value:.1f}"


def plan_picture(
    steps: Sequence[PlanStep],
    *,
    soc_fraction: float | None,
    capacity_kwh: float,
    floor_fraction: float,
    goal_fraction: float,
) -> PlanPicture:
    """Lay out a plan of at least one step."""
    start, end = steps[0].starts_at, steps[-1].ends_at
    span_s = (end - start).total_seconds()

    def x(at: datetime) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - start).total_seconds() / span_s

    def soc_y(fraction: float) -> float:
        return SOC_BOTTOM - (SOC_BOTTOM - SOC_TOP) * min(1.0, max(0.0, fraction))

    most_kw = max(max(abs(step.power_kw) for step in steps), 1.0)
    prices = [step.price_per_kwh for step in steps]
    low, high = min(prices), max(prices)

    def price_y(price: float) -> float:
        return PRICE_BOTTOM - (PRICE_BOTTOM - PRICE_TOP) * (price - low) / ((high - low) or 1.0)

    soc_points = [] if soc_fraction is None else [(float(LEFT), soc_y(soc_fraction))]
    soc_points += [
        (x(step.ends_at), soc_y(step.energy_kwh / capacity_kwh)) for step in steps if step.energy_kwh is not None
    ]
    price_points = [
        point
        for step in steps
        for point in ((x(step.starts_at), price_y(step.price_per_kwh)), (x(step.ends_at), price_y(step.price_per_kwh)))
    ]
    boxes = [
        _power_box(run[0], x(run[0].starts_at), x(run[-1].ends_at), most_kw)
        for run in (list(group) for _, group in groupby(steps, key=lambda step: round(step.power_kw, 1)))
        if abs(run[0].power_kw) > MOVING_KW
    ]
    return PlanPicture(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        soc_points=" ".join(f"{_n(px)},{_n(py)}" for px, py in soc_points),
        price_points=" ".join(f"{_n(px)},{_n(py)}" for px, py in price_points),
        boxes=tuple(boxes),
        marks=tuple(Mark(_n(x(at)), at) for at in hour_marks(start, end)),
        floor_y=_n(soc_y(floor_fraction)),
        goal_y=_n(soc_y(goal_fraction)),
        low_price=low,
        high_price=high,
        most_kw=most_kw,
    )


def _power_box(step: PlanStep, left: float, right: float, most_kw: float) -> Box:
    height = (POWER_BOTTOM - POWER_MIDDLE) * abs(step.power_kw) / most_kw
    sends = step.power_kw < 0  # to the grid is drawn upwards, into the car downwards
    top = POWER_MIDDLE - height if sends else POWER_MIDDLE
    return Box("send" if sends else "charge", _n(left), _n(top), _n(max(1.0, right - left - 0.5)), _n(height))


def hour_marks(start: datetime, end: datetime) -> list[datetime]:
    """Whole hours for the axis, as few as fit; quarters of an hour or less where the span is short."""
    for minutes in (1, 5, 15, 60, 120, 180, 360, 720, 1440, 2880):
        gap = timedelta(minutes=minutes)
        first = start + (timedelta(0) - timedelta(seconds=start.timestamp() % gap.total_seconds()))
        marks = []
        at = first if first >= start else first + gap
        while at < end:
            marks.append(at)
            at += gap
            if len(marks) > WIDEST_LABELS:
                break
        if len(marks) <= WIDEST_LABELS:
            return marks
    return []


@dataclass(frozen=True, slots=True)
class Strip:
    """The small picture of what is ahead: boxes on one line."""

    width: int
    height: int
    boxes: tuple[Box, ...]


def strip_picture(blocks: Sequence[PlanBlock]) -> Strip:
    """Charging below the line, sending above it, from now to the end of the plan."""
    start, end = blocks[0].starts_at, blocks[-1].ends_at
    span_s = (end - start).total_seconds()
    boxes = []
    for block in blocks:
        if block.direction == "rest":
            continue
        left = WIDTH * (block.starts_at - start).total_seconds() / span_s
        width = WIDTH * (block.ends_at - block.starts_at).total_seconds() / span_s
        top = 4 if block.direction == "send" else 22
        boxes.append(Box(block.direction, _n(left), _n(top), _n(max(3.0, width)), "16"))
    return Strip(WIDTH, 42, tuple(boxes))


@dataclass(frozen=True, slots=True)
class DayBar:
    """One day of the earnings picture: stacked boxes from the ground up."""

    label: str
    x: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class BarPicture:
    """Daily bars."""

    width: int
    height: int
    ground: str
    bars: tuple[DayBar, ...]
    most: float


def bar_picture(days: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> BarPicture:
    """Stack the parts of each day. Amounts below zero are left to the table.

    Args:
        days: label and (kind, amount) parts of each day, in order.
    """
    height, ground, top = 180, 156.0, 12.0
    most = max([sum(max(0.0, amount) for _, amount in parts) for _, parts in days] + [1e-9])
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(days))
    bars = []
    for index, (label, parts) in enumerate(days):
        left, y, boxes = LEFT + index * slot, ground, []
        for kind, amount in parts:
            if amount <= 0:
                continue
            part = (ground - top) * amount / most
            y -= part
            boxes.append(Box(kind, _n(left + slot * 0.15), _n(y), _n(slot * 0.7), _n(part)))
        bars.append(DayBar(label, _n(left + slot / 2), tuple(boxes)))
    return BarPicture(WIDTH, height, _n(ground), tuple(bars), most)
