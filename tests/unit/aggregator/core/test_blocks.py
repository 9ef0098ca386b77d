"""A stored plan as stretches with their reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aggregator.core.blocks import plan_blocks, plan_steps

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
READY = START + timedelta(hours=5)


def blocks_of(power: list[float], price: list[float], *, target: list[float | None] | None = None, hours: float = 1.0):
    level, energy = 30.0, []
    for value in power:
        level += value * hours
        energy.append(level)
    steps = plan_steps(
        starts_at=START,
        step_h=[hours] * len(power),
        power_kw=power,
        energy_kwh=energy,
        price_per_kwh=price,
        target_kw=target or [],
    )
    return plan_blocks(steps, ready_at=READY, floor_kwh=10.0)


def test_neighbours_of_one_direction_join_and_money_is_of_each_step() -> None:
    send, rest, charge = blocks_of([-3, -1, 0, 6, 6], [30, 40, 20, 10, 12])
    assert [block.direction for block in (send, rest, charge)] == ["send", "rest", "charge"]
    assert (send.power_kw, send.energy_kwh, send.money) == (-2.0, 4.0, 3 * 30 + 1 * 40)
    assert send.price_per_kwh == pytest.approx(130 / 4)
    assert (charge.starts_at, charge.ends_at) == (START + timedelta(hours=3), START + timedelta(hours=5))
    assert (charge.energy_kwh, charge.money, charge.soc_kwh) == (12.0, 132.0, 38.0)
    assert (rest.energy_kwh, rest.money, rest.price_per_kwh) == (0.0, 0.0, 20.0)


def test_unequal_steps_weigh_by_their_length() -> None:
    steps = plan_steps(starts_at=START, step_h=[0.5, 1.5], power_kw=[4, 8], energy_kwh=[32, 44], price_per_kwh=[10, 20])
    (block,) = plan_blocks(steps)
    assert (block.power_kw, block.energy_kwh, block.money) == (7.0, 14.0, 2 * 10 + 12 * 20)


@pytest.mark.parametrize(
    ("power", "price", "target", "position", "why"),
    [
        ([6, 0, 0], [10, 20, 30], None, 0, "why.cheap"),
        ([0, 0, 6], [10, 20, 30], None, 1, "why.needed"),
        ([-6, 0, 0], [30, 20, 10], None, 0, "why.peak"),
        ([-6, 0, 0], [30, 20, 10], [5.0, None, None], 0, "why.event.send"),
        ([6, 0, 0], [30, 20, 10], [5.0, None, None], 0, "why.event.charge"),
        ([-25, 4, 0], [30, 20, 10], None, 1, "why.floor"),
    ],
)
def test_each_stretch_says_why(power, price, target, position, why) -> None:
    assert blocks_of(power, price, target=target)[position].why.code == why


def test_the_reason_counts_the_hours_that_are_dearer() -> None:
    (charge, _rest) = blocks_of([6, 0, 0, 0], [10, 20, 30, 10])
    assert charge.why.values == {"dearer_percent": pytest.approx(50)}
