"""What `manage.py dispatch` leaves behind: set-points, a summary, and for small portfolios a page with plots."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch import DispatchPlan, DispatchProblem, MissedPromise
from aggregator.core.dispatch.fleet.plan import FleetPlan
from aggregator.management.simulation.charts import Line, line_chart
from aggregator.management.simulation.report import CSS

Numbers = NDArray[np.float64]
MOST_ASSETS_ON_A_PAGE = 2_000
MOST_MISSES_ON_A_PAGE = 200
BYTES_PER_UNIT_OF_PEAK_MEMORY = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, eq=False)
class Answer:
    """A plan of either method, in the terms of the files."""

    power_kw: NDArray[np.float32]  # [asset, step]
    cost: float
    lower_bound: float
    gap: float
    status: str
    solver: str
    missed: tuple[MissedPromise, ...]
    reserve_kw: dict[str, Numbers]  # product -> [step]
    wall_s: float
    cpu_s: float

    @classmethod
    def of(cls, plan: DispatchPlan | FleetPlan) -> Answer:
        """From a plan."""
        return cls(
            np.asarray(plan.power_kw, dtype=np.float32),
            *(plan.cost, plan.lower_bound, plan.gap, str(plan.status), plan.solver, plan.missed),
            plan.reserve_kw,
            plan.wall_s,
            plan.cpu_s,
        )


def write_answer(problem: DispatchProblem, answer: Answer, out: Path) -> dict[str, Any]:
    """Write everything into a folder and return the summary."""
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "setpoints.npy", answer.power_kw)
    told = summary(problem, answer)
    (out / "summary.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page = out / "plan.html"
    if len(problem.assets) <= MOST_ASSETS_ON_A_PAGE:
        page.write_text(plan_page(problem, answer), encoding="utf-8")
    else:
        page.unlink(missing_ok=True)  # of an earlier, smaller plan
    return told


def summary(problem: DispatchProblem, answer: Answer) -> dict[str, Any]:
    """The content of `summary.json`."""
    return {
        "cost": answer.cost,
        "lower_bound": answer.lower_bound,
        "gap": answer.gap,
        "status": answer.status,
        "solver": answer.solver,
        "assets": len(problem.assets),
        "steps": problem.horizon.steps,
        "missed": [plain(asdict(miss)) for miss in answer.missed],
        "reserve_kw": {name: held.tolist() for name, held in answer.reserve_kw.items()},
        "wall_s": round(answer.wall_s, 4),
        "cpu_s": round(answer.cpu_s, 4),
        "peak_rss_mib": round(peak_rss_mib(), 1),
    }


def peak_rss_mib() -> float:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_PER_UNIT_OF_PEAK_MEMORY / 2**20


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Numpy's scalars as JSON can hold them."""
    return {key: value.item() if hasattr(value, "item") else value for key, value in values.items()}


def plan_page(problem: DispatchProblem, answer: Answer) -> str:
    """A page that needs nothing else: load against the limits, price, energy, and what is missed."""
    hours = problem.horizon.offset_s / 3600.0
    total_kw = answer.power_kw.sum(axis=0, dtype=np.float64)
    load_kw = problem.base_load_kw + total_kw
    ticks = [(float(hour), f"{hour:g} h") for hour in np.linspace(0, hours[-1], 9).round(1)]
    load = line_chart(
        "Load of the portfolio",
        f"Between {load_kw.min():.1f} and {load_kw.max():.1f} kW; positive is drawn from the grid.",
        hours.tolist(),
        [
            Line("Load that is not steered", _held(problem.base_load_kw), "s0", steps=True),
            Line("With the plan", _held(load_kw), "s2", steps=True),
            Line("Import limit", _held(where_finite(problem.import_limit_kw)), "target", steps=True),
            Line("Export limit", _held(where_finite(-problem.export_limit_kw)), "target", steps=True),
        ],
        x_ticks=ticks,
        unit="kW",
    )
    price = line_chart(
        "Price",
        f"From {problem.price_per_kwh.min():.3f} to {problem.price_per_kwh.max():.3f} per kWh.",
        hours.tolist(),
        [Line("Price", _held(problem.price_per_kwh), "price", steps=True)],
        x_ticks=ticks,
        unit="per kWh",
        height=170,
    )
    headline = (
        f"{len(problem.assets):,} assets over {problem.horizon.steps} steps cost {answer.cost:,.4f}; "
        f"no plan costs less than {answer.lower_bound:,.4f} (gap {answer.gap:.2e})."
    )
    rows = zip(
        range(problem.horizon.steps), problem.price_per_kwh, problem.base_load_kw, total_kw, load_kw, strict=True
    )
    table = _table(
        ("Step", "Price per kWh", "Not steered, kW", "Set-points, kW", "Load, kW"),
        ((str(step), f"{p:.4f}", f"{b:.2f}", f"{t:.2f}", f"{load:.2f}") for step, p, b, t, load in rows),
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width,initial-scale=1"><title>Dispatch plan</title><style>{CSS}</style></head><body><main>'
        f"<h1>{escape(headline)}</h1><p>Solved by {escape(answer.solver)} in {answer.wall_s:.2f} s.</p>{load}{price}"
        f"<details><summary>The same as a table</summary>{table}</details>{_missed_part(answer.missed)}"
        "</main></body></html>\n"
    )


def _missed_part(missed: tuple[MissedPromise, ...]) -> str:
    if not missed:
        return "<h2>Promises</h2><p>Every promise is kept.</p>"
    shown = missed[:MOST_MISSES_ON_A_PAGE]
    rows = (
        (
            str(miss.kind).replace("_", " "),
            str(next((one for one in (miss.asset_id, miss.site_id, miss.event_id) if one is not None), "portfolio")),
            str(miss.step),
            f"{miss.kw:.2f}",
            f"{miss.kwh:.2f}",
            f"{miss.money:.2f}",
            miss.reason,
        )
        for miss in shown
    )
    more = f"<p>And {len(missed) - len(shown):,} more: see summary.json.</p>" if len(missed) > len(shown) else ""
    return f"<h2>Promises that are missed: {len(missed):,}</h2>" + _table(
        ("What", "Whose", "Step", "kW", "kWh", "Money", "Why"), rows
    ) + more  # fmt: skip


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def where_finite(values: Numbers) -> Numbers:
    """The values, with gaps where there is none to draw."""
    return np.where(np.isfinite(values), values, np.nan)


def _held(values: Numbers) -> list[float]:
    return [*values.tolist(), float(values[-1])]
