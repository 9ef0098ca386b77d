"""An oracle that shares nothing with the model: the same problem as rows written one by one into HiGHS.

It has no energy variables; energy is a running sum. Used for prices at which nobody charges and discharges at once, or
as the bound that a plan which does neither must not beat.
"""

from __future__ import annotations

import itertools

import highspy
import numpy as np

from aggregator.core.dispatch.highs import THREADS


class DirectProgramme:
    """Columns and rows by name, then the optimum."""

    def __init__(self):
        self.highs = highspy.Highs()
        self.highs.setOptionValue("output_flag", False)
        self.highs.setOptionValue("threads", THREADS)  # one number for the whole process
        self.count = 0

    def column(self, lower, upper, cost):
        self.highs.addCol(float(cost), float(lower), float(upper), 0, np.zeros(0, dtype=np.int32), np.zeros(0))
        self.count += 1
        return self.count - 1

    def row(self, lower, upper, terms):
        index = np.array(sorted(terms), dtype=np.int32)
        self.highs.addRow(float(lower), float(upper), index.size, index, np.array([terms[i] for i in index]))

    def optimum(self):
        self.highs.run()
        status = self.highs.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            return None
        assert status == highspy.HighsModelStatus.kOptimal, status
        return self.highs.getInfo().objective_function_value


def curve_lines(points, row, at_kwh):
    """Lines (kW, kW per kWh) through neighbouring points; nothing at all is taken where they lie below zero at `at_kwh`."""
    known = [] if points is None else [point for point in points[row].tolist() if not np.isnan(point[0])]
    lines = []
    for (from_kwh, from_kw), (to_kwh, to_kw) in itertools.pairwise(known):
        slope = (to_kw - from_kw) / (to_kwh - from_kwh)
        lines.append((from_kw - slope * from_kwh, slope))
    return [(0.0, 0.0)] if any(a + b * at_kwh < -1e-9 for a, b in lines) else lines


def direct_optimum(problem):
    """Least cost with needs clamped to physics, soft portfolio limits and hard site limits; None if contradictory."""
    assets, hours = problem.assets, problem.horizon.step_h
    steps = hours.size
    programme = DirectProgramme()
    totals = [dict() for _ in range(steps)]
    sites = (
        {}
        if problem.sites is None
        else {row: [dict() for _ in range(steps)] for row in range(len(problem.sites.site_id))}
    )
    for row in range(len(assets)):
        gain, loss = float(assets.charge_efficiency[row]), float(assets.discharge_efficiency[row])
        reach, running = float(assets.energy_kwh[row]), {}
        ceiling = max(float(assets.capacity_kwh[row]), reach)
        for step in range(int(assets.arrival_step[row]), int(assets.departure_step[row])):
            h, price = float(hours[step]), float(problem.price_per_kwh[step])
            into = programme.column(0, assets.charge_kw[row], h * price)
            part = 1.0 if assets.discharge_part is None else float(assets.discharge_part[row, step])
            out = programme.column(0, part * assets.discharge_kw[row], h * (float(assets.wear_per_kwh[row]) - price))
            running[into], running[out] = h * gain, -h / loss
            taking = curve_lines(assets.charge_curve, row, ceiling)
            giving = curve_lines(assets.discharge_curve, row, 0.0)
            held = [(a + b * reach) / (1 - b * h * gain) for a, b in taking]
            reach = min(ceiling, reach + h * gain * max(0.0, min([float(assets.charge_kw[row]), *held])))
            least = min(float(assets.floor_kwh[row]), reach)
            ready = assets.departure_step[row] if assets.ready_step is None else assets.ready_step[row]
            if step >= min(ready, assets.departure_step[row]) - 1:
                least = max(least, min(float(assets.required_kwh[row]), reach))
            start = float(assets.energy_kwh[row])
            programme.row(least - 1e-9 - start, ceiling - start, dict(running))
            for lines, power in ((taking, into), (giving, out)):
                for a, b in lines:  # power − b · (energy − start) ≤ a + b · start
                    terms = {column: -b * value for column, value in running.items()}
                    programme.row(-np.inf, a + b * start, terms | {power: terms[power] + 1.0})
            for place in [
                totals[step],
                *([sites[int(assets.site_index[row])][step]] if sites and assets.site_index[row] >= 0 else []),
            ]:
                place[into], place[out] = 1.0, -1.0
    for step in range(steps):
        price = float(hours[step] * problem.missed_price_per_kwh[step])
        above, below = programme.column(0, np.inf, price), programme.column(0, np.inf, price)
        base = float(problem.base_load_kw[step])
        limit = -problem.export_limit_kw[step] - base, problem.import_limit_kw[step] - base
        programme.row(limit[0], np.inf, totals[step] | {below: 1.0})
        programme.row(-np.inf, limit[1], totals[step] | {above: -1.0})
        for row, by_step in sites.items():
            base = float(problem.sites.base_load_kw[row, step])
            least = -problem.sites.export_limit_kw[row, step] - base
            programme.row(least, problem.sites.import_limit_kw[row, step] - base, by_step[step])
    return programme.optimum()
