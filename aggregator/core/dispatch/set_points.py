"""What to send: in a step that an asset can use only in part, more than the mean that the plan reckons with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.appraisal import group_load_kw
from aggregator.core.dispatch.preparation import sum_by_group
from aggregator.core.dispatch.problem import DispatchProblem

Numbers = NDArray[np.float64]


def sendable_set_points(
    problem: DispatchProblem,
    power_kw: Numbers,  # [asset, step]
    computing_kw: Numbers,  # [computer, step]
) -> Numbers:  # [asset, step]
    """Set-points that bring each step's mean power while the asset is there: mean / availability.

    A car that leaves ten minutes into half an hour must draw three times the mean in those ten minutes. The groups'
    limits hold at every moment, so what goes beyond the mean is scaled down where a site or node has no room for it.
    """
    availability = problem.assets.availability
    if availability is None:
        return power_kw
    usable = np.where(availability > 0, availability, 1.0)
    beyond_kw = power_kw / usable - power_kw
    for index_name, groups in (("site_index", problem.sites), ("node_index", problem.nodes)):
        if groups is None or not np.any(beyond_kw):
            continue
        index, count = getattr(problem.assets, index_name), len(groups.site_id)
        load_kw = group_load_kw(problem, groups, index_name, power_kw, computing_kw)
        for side, room_kw in ((1.0, groups.import_limit_kw - load_kw), (-1.0, groups.export_limit_kw + load_kw)):
            wanted_kw = sum_by_group(np.maximum(side * beyond_kw, 0.0), index, count)
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(wanted_kw > 0, np.clip(room_kw / wanted_kw, 0.0, 1.0), 1.0)
            of_asset = np.vstack([share, np.ones(share.shape[1])])[index]  # index −1 takes the last row: no group
            beyond_kw = np.where(side * beyond_kw > 0, beyond_kw * of_asset, beyond_kw)
    return power_kw + beyond_kw
