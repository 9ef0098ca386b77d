"""Site limits that need no master of their own: most sites are homes, and few of their limits ever hold anybody back.

A limit that a site's assets cannot reach together is none,

    Σ_{i at s, there at t} charge_i ≤ upper_st  →  upper_st = ∞,        Σ_{i at s, there at t} discharge_i ≤ −lower_st  →  lower_st = −∞,

and a limit that one asset meets alone, the same for as long as it stays, is a limit of that asset,

    charge_i ← min(charge_i, upper_s),        discharge_i ← min(discharge_i, −lower_s),

after which it is none of the site's either. Both are exact: no plan is lost or won.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.coupling import Coupling
from fleet.core.flexibility import FlexibleAssets

Numbers = NDArray[np.float64]
NEGLIGIBLE_KW = 1e-6


def present_power_kw(
    power_kw: Numbers,  # [asset]
    assets: FlexibleAssets,
    site_of: NDArray[np.int64],  # [asset], −1 for none
    sites: int,
    steps: int,
) -> Numbers:  # [site + 1, step]; the last row is for assets at no site
    """What the assets that are there can do together, site by site and step by step."""
    change_kw = np.zeros((sites + 1, steps + 1))
    np.add.at(change_kw, (site_of, assets.arrival_step), power_kw)
    np.add.at(change_kw, (site_of, assets.departure_step), -power_kw)
    return np.cumsum(change_kw, axis=1)[:, :steps]


def without_slack(
    assets: FlexibleAssets, site_of: NDArray[np.int64], limits: Coupling, *, alone: bool
) -> tuple[FlexibleAssets, Coupling]:
    """The assets with what limits they meet alone, and the limits that are left.

    Args:
        alone: whether to take limits that one asset meets alone for its own; not where reserves are sold, which count what
            the asset could do, not what its site lets through.
    """
    if alone:
        assets = _with_own_limits(assets, site_of, limits)
    sites, steps = limits.upper_kw.shape
    most_kw = present_power_kw(assets.charge_kw, assets, site_of, sites, steps)[:-1]
    least_kw = -present_power_kw(assets.discharge_kw, assets, site_of, sites, steps)[:-1]
    # a limit on the wrong side of zero asks for something even of a site where nobody is: it stays
    reaches_upper = (most_kw > limits.upper_kw + NEGLIGIBLE_KW) | (limits.upper_kw < 0.0)
    reaches_lower = (least_kw < limits.lower_kw - NEGLIGIBLE_KW) | (limits.lower_kw > 0.0)
    return assets, replace(
        limits,
        upper_kw=np.where(reaches_upper, limits.upper_kw, np.inf),
        lower_kw=np.where(reaches_lower, limits.lower_kw, -np.inf),
    )


def _with_own_limits(assets: FlexibleAssets, site_of: NDArray[np.int64], limits: Coupling) -> FlexibleAssets:
    """What an asset that is alone at its site may do at most, as its own power."""
    somewhere = site_of >= 0
    alone = np.zeros(site_of.size, dtype=np.bool_)
    alone[somewhere] = np.bincount(site_of[somewhere])[site_of[somewhere]] == 1
    alone &= assets.departure_step > assets.arrival_step
    rows = np.flatnonzero(alone)
    return replace(
        assets,
        charge_kw=_narrowed(assets.charge_kw, limits.upper_kw[site_of[rows]], assets, rows),
        discharge_kw=_narrowed(assets.discharge_kw, -limits.lower_kw[site_of[rows]], assets, rows),
    )


def _narrowed(
    power_kw: Numbers,  # [asset]
    room_kw: Numbers,  # [row, step]
    assets: FlexibleAssets,
    rows: NDArray[np.int64],
) -> Numbers:  # [asset]
    """Power within the room, where that is not negative and stays the same while the asset is there."""
    if not rows.size:
        return power_kw
    step = np.arange(room_kw.shape[1])
    there = (step >= assets.arrival_step[rows, None]) & (step < assets.departure_step[rows, None])
    least_kw = np.where(there, room_kw, np.inf).min(axis=1)
    most_kw = np.where(there, room_kw, -np.inf).max(axis=1)
    steady = (least_kw >= 0.0) & (most_kw == least_kw)
    narrowed_kw = power_kw.copy()
    narrowed_kw[rows[steady]] = np.minimum(power_kw[rows[steady]], least_kw[steady])
    return narrowed_kw
