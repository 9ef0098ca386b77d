"""A dispatch problem as the decomposition takes it: arrays, price classes, groups, and the rows that couple them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.arrays import AssetArrays
from aggregator.core.dispatch.fleet.computers import WithComputers, with_computers
from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.fleet.curved import reach_along_curves
from aggregator.core.dispatch.fleet.holding import holding_of
from aggregator.core.dispatch.fleet.population import Population, Totals
from aggregator.core.dispatch.fleet.reserve_rows import market_limits, with_pay, with_products
from aggregator.core.dispatch.fleet.slack import without_slack
from aggregator.core.dispatch.preparation import play_out_fixed_power, sum_by_group
from aggregator.core.dispatch.problem import DispatchProblem, EventTarget, SiteLimits, TargetDirection
from common.errors import InvalidInput
from fleet.core.flexibility import FlexibleAssets

Numbers = NDArray[np.float64]

DEPARTURE_BANDS, ARRIVAL_BANDS = 4, 2
# A safety limit is dearer than anything else by this factor; what still crosses it contradicts a driver's need.
HARD = 100.0
NEGLIGIBLE_KWH = 1e-9


@dataclass(frozen=True, eq=False)
class Statement:
    """One problem, stated for the decomposition.

    Attributes:
        population: every asset, free of its fixed steps.
        coupling: the rows that tie them together.
        group_class: price class of every group.
        own_price: of energy, by price class; then of what is held of each reserve product, likewise.
        fixed_power_kw: what the assets do in steps that are no longer free; None for nothing.
        site_of: site (or grid node, where only those have limits) of every asset; −1 for none.
        site_limits: a block of hard limits for every site; None where no site's limits can hold anybody back.
        gives_way: assets whose needs their site's limit leaves no power for, alone as they are there.
        assets: all assets, free of their fixed steps, the computers after them.
        widened: the problem as it is planned, with its computers among the assets.
    """

    problem: DispatchProblem
    population: Population
    coupling: Coupling
    group_class: NDArray[np.int64]  # [group]
    own_price: Numbers  # [series, step]
    fixed_power_kw: Numbers | None  # [asset, step]
    site_of: NDArray[np.int64]  # [asset]
    site_limits: Coupling | None
    gives_way: NDArray[np.bool_]  # [asset]
    assets: FlexibleAssets
    widened: WithComputers

    @property
    def earner(self) -> NDArray[np.int64]:  # [asset]
        """0 for true assets; see `WithComputers`."""
        return self.widened.earner

    @property
    def classes(self) -> int:
        """Number of price classes."""
        return int(self.own_price.shape[0]) // (1 + self.population.products)

    @property
    def power_rows(self) -> Coupling:
        """The rows that tie set-points together, without those of reserve products."""
        return self.coupling.part(slice(None, self.coupling.blocks - self.population.products))

    def nothing(self) -> Totals:
        """Totals before anything is written."""
        return Totals(np.zeros(self.own_price.shape), np.zeros(self.classes))


def state(given: DispatchProblem) -> Statement:
    """Raises InvalidInput where the problem has something that only the exact programme plans."""
    widened = with_computers(given)
    problem = widened.problem
    if field := reason_for_the_exact_programme(problem):
        raise InvalidInput(
            "is not planned by column generation", field=field, remedy="Plan it with the exact programme."
        )
    assets, fixed_power_kw = problem.assets, None
    if assets.fixed_power_kw is not None:
        assets, fixed_power_kw = play_out_fixed_power(assets, problem.horizon)
    site_of, site_limits = _site_limits(problem, fixed_power_kw)
    arrays = asset_arrays(assets, problem.horizon.step_h)
    gives_way = np.zeros(len(assets), dtype=np.bool_)
    if site_limits is not None:
        target_kwh = arrays.target_kwh
        assets, site_limits = without_slack(assets, site_of, site_limits, alone=not problem.reserves)
        arrays = asset_arrays(assets, problem.horizon.step_h)
        gives_way = arrays.target_kwh < target_kwh - NEGLIGIBLE_KWH
        if not site_limits.limited and not _holds_reserve(problem):
            site_limits = None
    price_class, class_earner, members, participates = _price_classes(problem, widened.earner)
    group, group_class = _groups(assets, price_class)
    population = Population(
        arrays,
        price_class,
        group,
        np.ones(len(assets)),
        group_class.size,
        holding_of(problem, widened.earner == 0),
    )
    return Statement(
        problem,
        population,
        with_products(_coupling(problem, members, participates, fixed_power_kw), problem),
        group_class,
        with_pay(problem.price_per_kwh - widened.value_per_kwh[class_earner], problem),
        fixed_power_kw,
        site_of,
        site_limits,
        gives_way,
        assets,
        widened,
    )


def limited_groups(problem: DispatchProblem) -> tuple[SiteLimits | None, NDArray[np.int64]]:
    """The one grouping that has limits, and each asset's row in it."""
    if problem.sites is not None and _limited(problem.sites):
        return problem.sites, problem.assets.site_index
    if problem.nodes is not None and _limited(problem.nodes):
        return problem.nodes, problem.assets.node_index
    return None, np.full(len(problem.assets), -1, dtype=np.int64)


def _site_limits(problem: DispatchProblem, fixed_power_kw: Numbers | None) -> tuple[NDArray[np.int64], Coupling | None]:
    """Limits of the sites' sums, at a price that no other cost comes near: they are kept wherever that is possible."""
    groups, site_of = limited_groups(problem)
    if groups is None:
        return site_of, None
    base_kw = groups.base_load_kw
    if fixed_power_kw is not None:
        base_kw = base_kw + sum_by_group(fixed_power_kw, site_of, base_kw.shape[0])
    _, _, pay = market_limits(problem)
    missed = [one.missed_price_per_kw for one in problem.reserves]
    per_kwh = np.max([pay.max(initial=0.0), *missed]) / problem.horizon.step_h.min() if problem.reserves else 0.0
    prices = np.abs(problem.price_per_kwh).max(), problem.missed_price_per_kwh.max(), per_kwh
    dearest = max(1.0, *(float(price) for price in prices))
    price = np.full(base_kw.shape, HARD * dearest)
    return site_of, Coupling(
        np.ones((base_kw.shape[0], 1), dtype=np.bool_),
        -groups.export_limit_kw - base_kw,
        groups.import_limit_kw - base_kw,
        price,
        price,
        problem.horizon.step_h,
    )


def reason_for_the_exact_programme(problem: DispatchProblem) -> str:
    """The field that only the exact programme plans; empty if there is none."""
    sites = problem.sites
    curved = problem.assets.charge_curve is not None or problem.assets.discharge_curve is not None
    reasons = {
        "reserves": bool(problem.reserves) and curved,
        "nodes": sites is not None and _limited(sites) and problem.nodes is not None and _limited(problem.nodes),
    }
    return next((field for field, present in reasons.items() if present), "")


def _limited(groups: SiteLimits) -> bool:
    limits_kw, reserve_kwh = (groups.import_limit_kw, groups.export_limit_kw), groups.emergency_reserve_kwh
    return any(bool(np.isfinite(kw).any()) for kw in limits_kw) or (
        reserve_kwh is not None and bool(np.any(reserve_kwh > 0))
    )


def _holds_reserve(problem: DispatchProblem) -> bool:
    groups, _ = limited_groups(problem)
    return (
        groups is not None
        and groups.emergency_reserve_kwh is not None
        and bool(np.any(groups.emergency_reserve_kwh > 0))
    )


def asset_arrays(assets: FlexibleAssets, step_h: Numbers) -> AssetArrays:
    """The assets' numbers, with each need clamped to what the asset can reach by its departure.

    target = min(max(required, floor), ceiling, energy + charge_efficiency · charge_kw · usable hours)
    """
    last_step_part = np.ones(len(assets))
    stays = np.flatnonzero(assets.departure_step > assets.arrival_step)
    last = assets.departure_step[stays] - 1
    if assets.availability is not None:
        last_step_part[stays] = assets.availability[stays, last]
        plugged = assets.plugged(step_h.size)
        plugged[stays, last] = False
        if np.any(assets.availability[plugged] != 1.0):
            raise InvalidInput(
                "may be below one only in an asset's last step",
                field="availability",
                remedy="Plan it with the exact programme.",
            )
    passed_h = np.concatenate([[0.0], np.cumsum(step_h)])
    usable_h = np.zeros(len(assets))
    usable_h[stays] = passed_h[last] - passed_h[assets.arrival_step[stays]] + last_step_part[stays] * step_h[last]
    ceiling_kwh = np.maximum(assets.capacity_kwh, assets.energy_kwh)
    reach_kwh = np.minimum(ceiling_kwh, assets.energy_kwh + assets.charge_efficiency * assets.charge_kw * usable_h)
    floor_kwh = np.minimum(assets.floor_kwh, ceiling_kwh)
    milestone_kwh = np.zeros((0, step_h.size))
    if assets.milestone_kwh is not None and np.any(assets.milestone_kwh > 0):
        milestone_kwh = np.ascontiguousarray(assets.milestone_kwh)
    discharge_part = np.zeros((0, step_h.size))
    if assets.discharge_part is not None:
        discharge_part = np.ascontiguousarray(assets.discharge_part)
    arrays = AssetArrays(
        arrival_step=np.ascontiguousarray(assets.arrival_step),
        departure_step=np.ascontiguousarray(assets.departure_step),
        ready_step=np.ascontiguousarray(assets.departure_step if assets.ready_step is None else assets.ready_step),
        energy_kwh=np.ascontiguousarray(assets.energy_kwh),
        target_kwh=np.minimum(np.maximum(assets.required_kwh, floor_kwh), reach_kwh),
        ceiling_kwh=ceiling_kwh,
        floor_kwh=floor_kwh,
        charge_kw=np.ascontiguousarray(assets.charge_kw),
        discharge_kw=np.ascontiguousarray(assets.discharge_kw),
        charge_efficiency=np.ascontiguousarray(assets.charge_efficiency),
        discharge_efficiency=np.ascontiguousarray(assets.discharge_efficiency),
        wear_per_kwh=np.ascontiguousarray(assets.wear_per_kwh),
        last_step_part=last_step_part,
        milestone_kwh=milestone_kwh,
        discharge_part=discharge_part,
        **_lines(assets),
    )
    if arrays.charging_lines.shape[1]:
        arrays = arrays._replace(target_kwh=np.minimum(arrays.target_kwh, reach_along_curves(arrays, step_h)))
    return arrays


def _lines(assets: FlexibleAssets) -> dict[str, Numbers]:
    """The assets' curves as lines, each with the energy at which it passes into the next."""
    charging, discharging = assets.charging_lines(), assets.discharging_lines()
    begins_kwh, ends_kwh = np.full_like(charging[:, :, 0], -np.inf), np.full_like(discharging[:, :, 0], np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        if assets.charge_curve is not None and charging.shape[1]:
            begins_kwh[:, 1:] = assets.charge_curve[:, 1:-1, 0]
            begins_kwh = np.fmax(begins_kwh, (assets.charge_kw[:, None] - charging[:, :, 0]) / charging[:, :, 1])
            begins_kwh = np.fmin.accumulate(begins_kwh[:, ::-1], axis=1)[:, ::-1]  # a line may never be the lowest
        if assets.discharge_curve is not None and discharging.shape[1]:
            goes_on = np.isfinite(discharging[:, 1:, 0])
            ends_kwh[:, :-1] = np.where(goes_on, assets.discharge_curve[:, 1:-1, 0], np.inf)
            ends_kwh = np.fmin(ends_kwh, (assets.discharge_kw[:, None] - discharging[:, :, 0]) / discharging[:, :, 1])
            ends_kwh = np.fmax.accumulate(ends_kwh, axis=1)
    return {
        "charging_lines": np.concatenate([charging, begins_kwh[:, :, None]], axis=2),
        "discharging_lines": np.concatenate([discharging, ends_kwh[:, :, None]], axis=2),
    }


def _price_classes(
    problem: DispatchProblem, earner: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], list[EventTarget]]:
    """Assets that take part in the same events, and earn the same, see the same prices.

    Returns:
        class of every asset, earner of every class, members [block, class] of the portfolio's block and one for each
        event, and the events.
    """
    targets = [target for target in problem.targets if not np.all(np.isnan(target.target_power_kw))]
    if not targets and not earner.any():
        return np.zeros(earner.size, dtype=np.int64), np.zeros(1, np.int64), np.ones((1, 1), dtype=np.bool_), targets
    number = earner
    for target in targets:
        number = 2 * number + (1 if target.participates is None else target.participates)
    classes, price_class = np.unique(number, return_inverse=True)
    if not classes.size:
        classes = np.zeros(1, dtype=np.int64)
    members = np.ones((1 + len(targets), classes.size), dtype=np.bool_)
    for row in range(len(targets)):
        members[1 + row] = (classes >> (len(targets) - 1 - row)) & 1 == 1
    return price_class.astype(np.int64), classes >> len(targets), members, targets


def _groups(
    assets: FlexibleAssets, price_class: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # [asset], [group]
    """Assets that are likely to answer alike: of one class, one- or two-way, with similar windows.

    Few groups: a round costs the master more than it costs the assets, so that more rounds over fewer columns are
    sooner at the end (measured: 14 groups 0.19 s, 60 groups 0.47 s, for a thousand assets at a gap of 1e-4).
    """

    def band(steps: NDArray[np.int64], bands: int) -> NDArray[np.int64]:
        """Which part of the fleet, by the order of its steps, each asset belongs to: counted, not sorted."""
        count = np.bincount(steps)
        before = np.cumsum(count) - count
        return (before * bands // max(int(count.sum()), 1))[steps]

    key = price_class * 2 + (assets.discharge_kw > 0)
    for values, bands in ((assets.departure_step, DEPARTURE_BANDS), (assets.arrival_step, ARRIVAL_BANDS)):
        key = key * bands + band(values, bands)
    present = np.bincount(key) > 0
    number = np.cumsum(present) - 1
    return number[key].astype(np.int64), np.flatnonzero(present) // (2 * DEPARTURE_BANDS * ARRIVAL_BANDS)


def _coupling(
    problem: DispatchProblem,
    members: NDArray[np.bool_],
    targets: list[EventTarget],
    fixed_power_kw: Numbers | None,  # [asset, step]
) -> Coupling:
    steps = problem.horizon.steps
    shape = (1 + len(targets), steps)
    lower_kw, upper_kw = np.full(shape, -np.inf), np.full(shape, np.inf)
    below_price, above_price = np.zeros(shape), np.zeros(shape)
    upper_kw[0] = problem.import_limit_kw - problem.base_load_kw
    lower_kw[0] = -problem.export_limit_kw - problem.base_load_kw
    below_price[0] = above_price[0] = problem.missed_price_per_kwh
    for row, target in enumerate(targets, start=1):
        inside = ~np.isnan(target.target_power_kw)
        missed = np.broadcast_to(np.asarray(target.missed_price_per_kwh, dtype=np.float64), (steps,))
        excess = target.excess_price_per_kwh
        if excess is None:
            excess = missed if target.direction is TargetDirection.EXACTLY else 0.0
        excess = np.broadcast_to(np.asarray(excess, dtype=np.float64), (steps,))
        at_least = target.direction is TargetDirection.AT_LEAST
        below_price[row], above_price[row] = (missed, excess) if at_least else (excess, missed)
        upper_kw[row] = np.where(inside & (above_price[row] > 0), target.target_power_kw, np.inf)
        lower_kw[row] = np.where(inside & (below_price[row] > 0), target.target_power_kw, -np.inf)
    coupling = Coupling(members, lower_kw, upper_kw, below_price, above_price, problem.horizon.step_h)
    if fixed_power_kw is None:
        return coupling
    of_block = [fixed_power_kw.sum(axis=0)]
    of_block += [
        fixed_power_kw[slice(None) if target.participates is None else target.participates].sum(axis=0)
        for target in targets
    ]
    return coupling.less(np.stack(of_block))
