"""Many assets at once: what groups of them do at given prices, and what blends of such responses come to.

Everything runs on threads of its own, in compiled code that holds no lock, over contiguous shares of the assets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.arrays import AssetArrays, make_workspace
from aggregator.core.dispatch.fleet.holding import Holding
from aggregator.core.dispatch.fleet.holding_population import (
    add_holding_responses,
    keep_all_deliverable,
    write_holding_blend,
)
from aggregator.core.dispatch.fleet.response import respond

Numbers = NDArray[np.float64]
SMALL = 2_000  # below this, handing the work to threads costs more than it saves
SMALL_HOLDING = 16  # the same, where an answer takes a hundred times as long
SHARES_PER_THREAD = 4

Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class Population:
    """Assets that share prices by class, and are added up by group.

    Attributes:
        assets: their arrays.
        price_class: which row of the prices each asset sees.
        group: which profile each asset belongs to; a group lies within one class.
        weight: how many assets each of these stands for (a sample stands for more than itself).
        groups: number of groups.
        holding: market reserves that the assets may hold; None for none. The prices of what they hold follow those of
            power: series, class by class, and then product by product, class by class.
    """

    assets: AssetArrays
    price_class: NDArray[np.int64]  # [asset]
    group: NDArray[np.int64]  # [asset]
    weight: Numbers  # [asset]
    groups: int
    holding: Holding | None = None

    def __len__(self) -> int:
        return int(self.group.size)

    def select(self, rows: NDArray[np.int64], weight: Numbers) -> Population:
        """Some of the assets, each with a weight of its own."""
        return replace(
            self,
            assets=self.assets.select(rows),
            price_class=self.price_class[rows],
            group=self.group[rows],
            weight=weight,
            holding=None if self.holding is None else self.holding.select(rows),
        )

    @property
    def products(self) -> int:
        """Number of reserve products."""
        return 0 if self.holding is None else int(self.holding.up.size)


@dataclass(frozen=True, eq=False)
class Profiles:
    """What the groups do together in answer to one set of prices.

    Attributes:
        series_kw: sum of the set-points, and of what is held of each product.
        cost: energy at its own price, and wear, less the pay for reserves: whatever the limits are worth.
        bound: no answers cost less at the prices that were asked; None where the answers are exact.
    """

    series_kw: Numbers  # [group, 1 + product, step]
    cost: Numbers  # [group]
    bound: float | None = None


@dataclass(frozen=True, eq=False)
class SetPoints:
    """What is written for every asset.

    Attributes:
        power_kw: its set-points.
        held_kw: what it holds of every reserve product, deliverable on top of them.
    """

    power_kw: NDArray[np.float32]  # [asset, step]
    held_kw: NDArray[np.float32]  # [product, asset, step]

    @classmethod
    def nothing(cls, population: Population, steps: int) -> SetPoints:
        """Room for a population's."""
        shape = (len(population), steps)
        return cls(np.zeros(shape, dtype=np.float32), np.zeros((population.products, *shape), dtype=np.float32))

    def power_kw_with(self, fixed_power_kw: Numbers | None) -> NDArray[np.float32]:  # [asset, step]
        """The set-points, and what was fixed before."""
        return self.power_kw if fixed_power_kw is None else self.power_kw + fixed_power_kw.astype(np.float32)

    def series_kw(self, population: Population, rows: NDArray[np.int64], classes: int) -> Numbers:  # [series, step]
        """Sums over some of the assets, by class, of power and then of each product."""
        kind = population.price_class[rows]
        inside = [rows[kind == one] for one in range(classes)]
        return np.array(
            [part[some].sum(axis=0, dtype=np.float64) for part in (self.power_kw, *self.held_kw) for some in inside]
        )


@dataclass(frozen=True, eq=False)
class Blend:
    """Convex combinations of responses: each group follows some of the remembered prices, each with its share.

    Attributes:
        prices: remembered prices of every series.
        of_group: rows of `prices` that each group follows, the groups one after another.
        share: their shares, which add up to one in each group.
        starts: where each group's rows begin; one more entry marks the end.
    """

    prices: Numbers  # [memory, series, step]
    of_group: NDArray[np.int64]  # [entry]
    share: Numbers  # [entry]
    starts: NDArray[np.int64]  # [group + 1]


def make_blend(prices: Numbers, shares: Numbers) -> Blend:
    """From remembered prices, [memory, series, step], and each group's shares in them, [memory, group]."""
    used = np.flatnonzero(shares.any(axis=1))
    groups, entries = np.nonzero(shares[used].T)
    starts = np.searchsorted(groups, np.arange(shares.shape[1] + 1)).astype(np.int64)
    return Blend(prices[used], entries.astype(np.int64), shares[used].T[groups, entries], starts)


def join_blends(blends: list[Blend], shape: tuple[int, int]) -> Blend:
    """One blend of the groups of several, numbered one after another; `shape` is (series, steps)."""
    memories = np.cumsum([0] + [blend.prices.shape[0] for blend in blends])
    entries = np.cumsum([0] + [blend.of_group.size for blend in blends])
    parts = list(zip(blends, memories, entries, strict=False))
    return Blend(
        np.concatenate([np.zeros((0, *shape)), *(blend.prices for blend in blends)]),
        np.concatenate([np.zeros(0, dtype=np.int64), *(blend.of_group + memory for blend, memory, _ in parts)]),
        np.concatenate([np.zeros(0), *(blend.share for blend in blends)]),
        np.concatenate([np.zeros(1, dtype=np.int64), *(blend.starts[1:] + entry for blend, _, entry in parts)]),
    )


@dataclass(frozen=True, eq=False)
class Totals:
    """What written set-points come to.

    Attributes:
        power_kw: sum of the set-points, class by class, and then of what is held of each product.
        wear: cost of wear, by class.
    """

    power_kw: Numbers  # [series, step]
    wear: Numbers  # [class]

    def plus(self, other: Totals) -> Totals:
        """Both together."""
        return Totals(self.power_kw + other.power_kw, self.wear + other.wear)


def orders(prices: Numbers) -> NDArray[np.int64]:  # [..., step] -> [..., step]
    """The steps from the cheapest to the dearest; equal prices in the order of time."""
    return np.argsort(prices, axis=-1, kind="stable").astype(np.int64)


def profiles(
    population: Population,
    prices: Numbers,
    own_price: Numbers,
    step_h: Numbers,
    *,
    burns: bool = False,
) -> Profiles:
    """Let every asset respond to the prices of its class.

    Args:
        prices: what a kWh is worth in each step, the limits' share included. [series, step]
        own_price: what a kWh costs by itself. [series, step]
        burns: whether an asset may charge and discharge at once; see `response`.
    """
    ranked = orders(prices)
    if population.holding is not None:
        return _holding_profiles(population, population.holding, prices, ranked, own_price, step_h)

    def of_share(first: int, end: int) -> tuple[Numbers, Numbers]:
        power_kw, cost = np.zeros((population.groups, step_h.size)), np.zeros(population.groups)
        _add_responses(
            population.assets, population.price_class, population.group, population.weight,
            first, end, prices, ranked, own_price, step_h, burns, power_kw, cost,
        )  # fmt: skip
        return power_kw, cost

    parts = on_threads(of_share, len(population))
    power_kw = np.sum([part[0] for part in parts], axis=0)
    return Profiles(power_kw[:, None], np.sum([part[1] for part in parts], axis=0))


def _holding_profiles(
    population: Population,
    holding: Holding,
    prices: Numbers,
    ranked: NDArray[np.int64],
    own_price: Numbers,
    step_h: Numbers,
) -> Profiles:
    def of_share(first: int, end: int) -> tuple[Numbers, Numbers, float]:
        series_kw = np.zeros((population.groups, 1 + population.products, step_h.size))
        cost = np.zeros(population.groups)
        bound = add_holding_responses(
            population.assets, holding, population.price_class, population.group, population.weight,
            first, end, prices, ranked, own_price, step_h, series_kw, cost,
        )  # fmt: skip
        return series_kw, cost, bound

    parts = on_threads(of_share, len(population), small=SMALL_HOLDING)
    return Profiles(
        np.sum([part[0] for part in parts], axis=0),
        np.sum([part[1] for part in parts], axis=0),
        float(sum(part[2] for part in parts)),
    )


def write_set_points(
    population: Population,
    blend: Blend,
    step_h: Numbers,
    out: SetPoints,
    rows: NDArray[np.int64],
    draw: Numbers | None = None,  # [row], in [0, 1)
) -> Totals:
    """Write set-points of some of the assets that follow the blend, and return what they come to.

    Energies are blended, which keeps every limit of an asset, and the power is what changes the energy so: charging in one
    response and discharging in another cancel out, and never cost more than the blend. With `draw`, each asset follows
    one of its group's prices only, picked by its number.
    """
    ranked = orders(blend.prices)
    drawn = np.full(rows.size, -1.0) if draw is None else draw
    classes = blend.prices.shape[1] // (1 + population.products)

    def hold(first: int, end: int) -> Numbers:
        assert population.holding is not None
        wear = np.zeros(classes)
        write_holding_blend(
            population.assets, population.holding, population.price_class, population.group, rows, first, end,
            blend.prices, ranked, blend.of_group, blend.share, blend.starts, drawn, step_h,
            out.power_kw, out.held_kw, wear,
        )  # fmt: skip
        return wear

    def of_share(first: int, end: int) -> Totals:
        totals = Totals(np.zeros((classes, step_h.size)), np.zeros(classes))
        _write_blend(
            population.assets, population.price_class, population.group, rows, first, end, blend.prices, ranked,
            blend.of_group, blend.share, blend.starts, drawn, step_h, out.power_kw,
            totals.power_kw, totals.wear,
        )  # fmt: skip
        return totals

    if population.holding is not None:
        wear = np.sum(on_threads(hold, rows.size, small=SMALL_HOLDING), axis=0)
        return Totals(out.series_kw(population, rows, classes), wear)
    parts = on_threads(of_share, rows.size)
    return Totals(np.sum([part.power_kw for part in parts], axis=0), np.sum([part.wear for part in parts], axis=0))


def hold_what_fits(population: Population, rows: NDArray[np.int64], step_h: Numbers, out: SetPoints) -> None:
    """Scale what some assets hold down to what is deliverable on top of their set-points."""
    if population.holding is not None:
        keep_all_deliverable(population.assets, population.holding, rows, step_h, out.power_kw, out.held_kw)


def on_threads(work: Callable[[int, int], Answer], count: int, *, small: int = SMALL) -> list[Answer]:
    threads = thread_count()
    if count < small or threads == 1:
        return [work(0, count)]
    bounds = np.linspace(0, count, threads * SHARES_PER_THREAD + 1).astype(int)
    return list(_pool(os.getpid()).map(work, bounds[:-1].tolist(), bounds[1:].tolist()))


def thread_count() -> int:
    """As many threads as this process may use processors."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads do not survive a fork: each process has a pool of its own."""
    return ThreadPoolExecutor(thread_count(), thread_name_prefix="dispatch")


@njit(nogil=True, cache=True)
def _add_responses(
    assets: AssetArrays,
    price_class: NDArray[np.int64],
    group: NDArray[np.int64],
    weight: Numbers,
    first: int,
    end: int,
    prices: Numbers,
    ranked: NDArray[np.int64],
    own_price: Numbers,
    step_h: Numbers,
    burns: bool,
    power_kw: Numbers,
    cost: Numbers,
) -> None:
    work = make_workspace(step_h.shape[0], assets.charging_lines.shape[1] + assets.discharging_lines.shape[1])
    for row in range(first, end):
        kind = price_class[row]
        respond(assets, row, prices[kind], ranked[kind], step_h, burns, work)
        gain, give = 1.0 / assets.charge_efficiency[row], assets.discharge_efficiency[row]
        wear, whose, times = assets.wear_per_kwh[row], group[row], weight[row]
        paid = 0.0
        for step in range(assets.arrival_step[row], assets.departure_step[row]):
            drawn_kwh, given_kwh = work.charged_kwh[step] * gain, work.drained_kwh[step] * give
            power_kw[whose, step] += times * (drawn_kwh - given_kwh) / step_h[step]
            paid += own_price[kind, step] * (drawn_kwh - given_kwh) + wear * given_kwh
        cost[whose] += times * paid


@njit(nogil=True, cache=True)
def _write_blend(
    assets: AssetArrays,
    price_class: NDArray[np.int64],
    group: NDArray[np.int64],
    rows: NDArray[np.int64],
    first: int,
    end: int,
    prices: Numbers,
    ranked: NDArray[np.int64],
    of_group: NDArray[np.int64],
    share: Numbers,
    starts: NDArray[np.int64],
    drawn: Numbers,
    step_h: Numbers,
    out_kw: NDArray[np.float32],
    power_kw: Numbers,
    wear: Numbers,
) -> None:
    work = make_workspace(step_h.shape[0], assets.charging_lines.shape[1] + assets.discharging_lines.shape[1])
    change_kwh = np.zeros(step_h.shape[0])
    for place in range(first, end):
        row = rows[place]
        arrival, departure = assets.arrival_step[row], assets.departure_step[row]
        change_kwh[arrival:departure] = 0.0
        kind, entry, last, passed = price_class[row], starts[group[row]], starts[group[row] + 1], 0.0
        while entry < last:
            part = share[entry]
            if drawn[place] >= 0.0:
                while entry + 1 < last and passed + share[entry] <= drawn[place]:
                    passed += share[entry]
                    entry += 1
                part, last = 1.0, entry
            respond(assets, row, prices[of_group[entry], kind], ranked[of_group[entry], kind], step_h, False, work)
            for step in range(arrival, departure):
                change_kwh[step] += part * (work.charged_kwh[step] - work.drained_kwh[step])
            entry += 1
        gain, give = 1.0 / assets.charge_efficiency[row], assets.discharge_efficiency[row]
        for step in range(arrival, departure):
            gained_kwh = change_kwh[step]
            kw = gained_kwh * (gain if gained_kwh > 0.0 else give) / step_h[step]
            out_kw[row, step] = kw
            power_kw[kind, step] += kw
            if kw < 0.0:
                wear[kind] -= assets.wear_per_kwh[row] * kw * step_h[step]
