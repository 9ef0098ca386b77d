"""When hard limits contradict one another: give up as little as possible, the least important first.

Order: safety limits of sites and nodes are kept before the emergency reserve, the reserve before the drivers' needs, and
all of them before money. Each class is given up by the least that the classes before it force, in a linear programme
of its own; the plan proper is then made within the limits thus widened.
"""

from __future__ import annotations

from dataclasses import replace

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch import model as lp
from aggregator.core.dispatch.curves import curve_rows
from aggregator.core.dispatch.exact import run_solver
from aggregator.core.dispatch.failure import SolverFailed
from aggregator.core.dispatch.preparation import HardLimits
from aggregator.core.dispatch.problem import DispatchProblem

Numbers = NDArray[np.float64]

# Added to what a class gives up, so that rounding does not make the next programme infeasible.
MARGIN = 1e-6

SAFETY = ("site_import_kw", "site_export_kw", "node_import_kw", "node_export_kw")
RESERVE = "emergency_reserve_kwh"


def widen_limits(problem: DispatchProblem, limits: HardLimits) -> HardLimits:
    """The limits, widened by the least that makes them agree.

    Stage by stage minimises Σ kWh beyond the groups' limits, then Σ kWh·h short of emergency reserves, then the drivers'
    shortfall (kWh at departure, and kWh·h below the floor), each stage keeping what the ones before it reached.

    Raises:
        SolverFailed: a stage, feasible by construction, was not solved.
    """
    model = lp.columns(problem, limits, bound_energy=False)
    slack = {name: _slack(getattr(limits, name).size) for name in (*SAFETY, RESERVE)}
    short = _slack(len(model.layout))
    rows = _rows_with_slack(model, limits, slack, short)
    for stage in _stages(model, slack, short):
        least = run_solver(cp.Problem(cp.Minimize(stage), rows))
        if least is None:
            raise SolverFailed("recovery found no plan at all", remedy="Send the problem to the maintainers.")
        rows = [*rows, stage <= max(least, 0.0) + MARGIN]
    given_up = {name: _values(part, getattr(limits, name)) for name, part in slack.items()}
    least_kwh = limits.least_kwh
    if len(model.layout):
        least_kwh = np.maximum(least_kwh - model.layout.spread(np.maximum(short.value, 0.0) + MARGIN), 0.0)
    return replace(
        limits,
        least_kwh=least_kwh,
        emergency_reserve_kwh=np.maximum(limits.emergency_reserve_kwh - given_up[RESERVE], 0.0),
        **{name: getattr(limits, name) + given_up[name] for name in SAFETY},
    )


def _rows_with_slack(
    model: lp.Columns, limits: HardLimits, slack: dict[str, lp.Expression], short: lp.Expression
) -> list[lp.Expression]:
    """The hard inequalities of the plan, each with room to be broken."""
    problem = model.problem
    rows = lp.energy_balance(model) + curve_rows(model, limits)
    for kind, groups in (("site", problem.sites), ("node", problem.nodes)):
        sides = f"{kind}_import_kw", f"{kind}_export_kw"
        limit_kw = getattr(limits, sides[0]), getattr(limits, sides[1])
        rows += lp.group_limits(model, f"{kind}_index", groups, *limit_kw, slack=(slack[sides[0]], slack[sides[1]]))
    rows += lp.emergency_reserve(model, limits.emergency_reserve_kwh, slack[RESERVE])
    if model.energy is not None:
        rows.append(model.energy + short >= model.layout.flat(limits.least_kwh))
    return rows


def _stages(model: lp.Columns, slack: dict[str, lp.Expression], short: lp.Expression) -> list[lp.Expression]:
    """What each stage minimises, the most important first."""
    hours, layout = model.problem.horizon.step_h, model.layout

    def over_time(part: lp.Expression) -> lp.Expression:
        return np.tile(hours, part.size // hours.size) @ part

    stages = []
    safety = [over_time(slack[name]) for name in SAFETY if slack[name].size]
    if safety:
        stages.append(sum(safety))
    if slack[RESERVE].size:
        stages.append(over_time(slack[RESERVE]))
    if len(layout):
        at_departure = model.problem.assets.departure_step[layout.asset] - 1 == layout.step
        stages.append(np.where(at_departure, 1.0, hours[layout.step]) @ short)
    return stages


def _slack(size: int) -> lp.Expression:
    return cp.Variable(size, nonneg=True) if size else np.zeros(0)


def _values(slack: lp.Expression, like: Numbers) -> Numbers:
    if not like.size:
        return np.zeros_like(like)
    if slack.value is None:  # it stands in no row: nothing is given up
        return np.zeros_like(like)
    return (np.maximum(slack.value, 0.0) + MARGIN).reshape(like.shape)
