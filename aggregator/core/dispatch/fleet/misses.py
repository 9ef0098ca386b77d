"""What a fleet's plan cannot keep, promise by promise, in the terms of whoever it was made to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.ladder import Dispatch
from aggregator.core.dispatch.fleet.replay import Replay, group_load_kw
from aggregator.core.dispatch.fleet.statement import Statement, limited_groups
from aggregator.core.dispatch.problem import DispatchProblem
from aggregator.core.dispatch.result import MissedPromise, MissKind, early_need_missed

NEGLIGIBLE = 1e-3  # kW or kWh: what single precision may lose over a day
NEGLIGIBLE_GROUP_KW = 2e-2  # the same, for the sum of a site
POWER_CAUSE = "at full power from its arrival on there is no more"
LOW_CAUSE = "it arrives with less and charges at once"
SITE_CAUSE = "its site's safety limit leaves no more"


def missed_group_limits(problem: DispatchProblem, dispatch: Dispatch) -> Iterator[MissedPromise]:
    """Safety limits of sites and nodes: crossed only where base load and physics leave no choice."""
    groups, group_of = limited_groups(problem)
    if groups is None:
        return
    load_kw = group_load_kw(groups, group_of, dispatch.power_kw)
    for kind, beyond_kw, word in (
        (MissKind.SITE_IMPORT_LIMIT, load_kw - groups.import_limit_kw, "draws"),
        (MissKind.SITE_EXPORT_LIMIT, -groups.export_limit_kw - load_kw, "feeds in"),
    ):
        for row, step in zip(*np.nonzero(beyond_kw > NEGLIGIBLE_GROUP_KW), strict=True):
            kw = float(beyond_kw[row, step])
            name, base_kw = groups.site_id[row], float(groups.base_load_kw[row, step])
            yield MissedPromise(
                kind,
                int(step),
                kw,
                kw * float(problem.horizon.step_h[step]),
                0.0,
                0.0,
                f"site {name} {word} {kw:.2f} kW beyond its limit: {base_kw:.2f} kW of it are not steered",
                site_id=name,
            )


def missed_needs(problem: DispatchProblem, replayed: Replay, given_way: NDArray[np.bool_]) -> Iterator[MissedPromise]:
    """Needs and floors, by asset."""
    assets, step_h = problem.assets, problem.horizon.step_h
    short_kwh = assets.required_kwh - replayed.energy_at_departure_kwh
    for row in np.flatnonzero(short_kwh > NEGLIGIBLE):
        kwh, last = float(short_kwh[row]), max(int(assets.departure_step[row]) - 1, 0)
        yield MissedPromise(
            MissKind.DEPARTURE_NEED,
            last,
            0.0,
            kwh,
            0.0,
            0.0,
            f"{kwh:.2f} kWh short of {assets.required_kwh[row]:.2f} kWh: {SITE_CAUSE if given_way[row] else POWER_CAUSE}",
            asset_id=assets.asset_id[row],
        )
    for row in np.flatnonzero(replayed.early_short_kwh > NEGLIGIBLE):
        yield early_need_missed(
            assets, int(row), int(replayed.early_short_step[row]), float(replayed.early_short_kwh[row])
        )
    for row in np.flatnonzero(replayed.floor_short_kwh > NEGLIGIBLE):
        kwh, step = float(replayed.floor_short_kwh[row]), int(replayed.floor_short_step[row])
        wanted_kwh = float(assets.floor_kwh[row])
        if assets.milestone_kwh is not None:
            wanted_kwh = float(np.fmax(wanted_kwh, assets.milestone_kwh[row, step]))
        yield MissedPromise(
            MissKind.FLOOR,
            step,
            kwh / float(step_h[step]),
            kwh,
            0.0,
            0.0,
            f"{kwh:.2f} kWh below its floor or milestone of {wanted_kwh:.2f} kWh: {SITE_CAUSE if given_way[row] else LOW_CAUSE}",
            asset_id=assets.asset_id[row],
        )


def missed_rows(statement: Statement, dispatch: Dispatch) -> Iterator[MissedPromise]:
    """Limits of the portfolio and targets of events, at their price."""
    coupling, problem = statement.power_rows, statement.problem
    targets = [target for target in problem.targets if not np.all(np.isnan(target.target_power_kw))]
    sides = (
        (dispatch.block_power_kw - coupling.upper_kw, coupling.above_price, MissKind.PORTFOLIO_IMPORT_LIMIT, "over"),
        (coupling.lower_kw - dispatch.block_power_kw, coupling.below_price, MissKind.PORTFOLIO_EXPORT_LIMIT, "under"),
    )
    for beyond_kw, prices, kind, word in sides:
        for block, step in zip(*np.nonzero((beyond_kw > NEGLIGIBLE) & (prices > 0)), strict=True):
            kw, price = float(beyond_kw[block, step]), float(prices[block, step])
            kwh = kw * float(coupling.step_h[step])
            event_id = targets[block - 1].event_id if block else None
            what = "the portfolio's limit" if block == 0 else f"the target of event {event_id}"
            yield MissedPromise(
                kind if block == 0 else targets[block - 1].missed_as,
                int(step),
                kw,
                kwh,
                price,
                kwh * price,
                f"{kw:.2f} kW {word} {what}: drivers' needs and the assets' limits leave no more, or it is not worth more",
                event_id=event_id,
            )
