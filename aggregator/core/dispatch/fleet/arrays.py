"""What the compiled functions work on: the assets as arrays, and room for one thread."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class AssetArrays(NamedTuple):
    """A fleet as the compiled functions take it; see `FlexibleAssets` for the meanings.

    Attributes:
        target_kwh: energy that must be there at departure: the need, clamped to what the asset can reach.
        ready_step: the target must be there from the start of this step on; the departure step if only then.
        last_step_part: part of the power limits that is usable in the asset's last step, 0 to 1.
        milestone_kwh: least energy wanted at the end of every step on top of the floor, NaN for none; no row at all
            where no asset has any.
        discharge_part: part of the discharging power that a contract allows in a step; no row at all where there is none.
        charging_lines, discharging_lines: (a_k, b_k) of its curves, see `fleet.core.power_curves`, and the energy at which
            one line begins (charging) or ends (discharging) to be the lowest; no line at all where no asset has a curve.
    """

    arrival_step: NDArray[np.int64]  # [asset]
    departure_step: NDArray[np.int64]  # [asset]
    ready_step: NDArray[np.int64]  # [asset]
    energy_kwh: Numbers  # [asset]
    target_kwh: Numbers  # [asset]
    ceiling_kwh: Numbers  # [asset]
    floor_kwh: Numbers  # [asset]
    charge_kw: Numbers  # [asset]
    discharge_kw: Numbers  # [asset]
    charge_efficiency: Numbers  # [asset]
    discharge_efficiency: Numbers  # [asset]
    wear_per_kwh: Numbers  # [asset]
    last_step_part: Numbers  # [asset]
    milestone_kwh: Numbers  # [asset, step], or [0, step]
    discharge_part: Numbers  # [asset, step], or [0, step]
    charging_lines: Numbers  # [asset, line, 3]
    discharging_lines: Numbers  # [asset, line, 3]

    def select(self, rows: NDArray[np.int64]) -> AssetArrays:
        """Some of the assets."""
        return AssetArrays._make(np.ascontiguousarray(column[rows]) if len(column) else column for column in self)


class Workspace(NamedTuple):
    """Room that one thread works in; every array has a place for each step.

    Attributes:
        gain_kwh, loss_kwh: most that the battery can gain and lose in a step.
        charged_kwh, drained_kwh: the answer: what it gains by charging and loses by discharging.
        least_kwh: least energy at the end of each step, where it is not the floor throughout.
        inside: the steps of the stretch at hand, by price; one place more.
        stretches: stack of (first step, end step, energy at its start, energy at its end, 1 if it may end higher).
        bend_kwh, slope: of a value function and of the next; this and all below for assets with curves.
        first_level_kwh, second_level_kwh: what each step steers to from below and from above.
        low_kwh, high_kwh: energies within reach at the start of each step.
    """

    gain_kwh: Numbers
    loss_kwh: Numbers
    charged_kwh: Numbers
    drained_kwh: Numbers
    least_kwh: Numbers
    inside: NDArray[np.int64]
    stretches: Numbers  # [5, 2 · step + 4]
    bend_kwh: Numbers  # [2, bend]
    slope: Numbers  # [2, bend]
    first_level_kwh: Numbers
    second_level_kwh: Numbers
    low_kwh: Numbers
    high_kwh: Numbers


@njit(nogil=True, cache=True)
def make_workspace(steps: int, lines: int) -> Workspace:
    """Room for horizons of so many steps, and curves of so many lines."""
    bends = (2 + lines) * (steps + 2) if lines else 0
    return Workspace(
        np.zeros(steps),
        np.zeros(steps),
        np.zeros(steps),
        np.zeros(steps),
        np.zeros(steps),
        np.zeros(steps + 1, dtype=np.int64),
        np.zeros((5, 2 * steps + 4)),
        np.zeros((2, bends)),
        np.zeros((2, bends)),
        np.zeros(steps),
        np.zeros(steps),
        np.zeros(steps),
        np.zeros(steps),
    )


@njit(nogil=True, cache=True)
def least_varies(assets: AssetArrays, row: int) -> bool:
    """Whether the least energy is another one in some steps than in others.

    least_t = min(max(floor, milestone_t, target from the ready step on), most reachable by t): what physics forbid is
    asked for as soon as they allow it.
    """
    if assets.milestone_kwh.shape[0] > 0 or assets.ready_step[row] < assets.departure_step[row]:
        return True
    return assets.energy_kwh[row] < assets.floor_kwh[row]
