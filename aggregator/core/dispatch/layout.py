"""Where each number of the model stands: only pairs of asset and step at which something can move get a column."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from aggregator.core.dispatch.preparation import HardLimits
from fleet.core.flexibility import FlexibleAssets

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SlotLayout:
    """The pairs (asset, step) inside the windows, asset by asset in the order of time, as flat arrays.

    Attributes:
        asset, step: of every slot.
        is_first: whether the slot is its asset's first.
        discharging: the slots that can discharge; only they get a discharge column.
    """

    assets: int
    steps: int
    asset: Indices  # [slot]
    step: Indices  # [slot]
    is_first: NDArray[np.bool_]  # [slot]
    discharging: Indices  # [discharge column] -> slot

    @classmethod
    def of(cls, assets: FlexibleAssets, limits: HardLimits) -> SlotLayout:
        """Lay out the windows of the assets."""
        steps = limits.charge_kw.shape[1]
        asset, step = np.nonzero(assets.plugged(steps))
        is_first = step == assets.arrival_step[asset]
        discharging = np.flatnonzero(limits.discharge_kw[asset, step] > 0)
        return cls(len(assets), steps, asset, step, is_first, discharging)

    def __len__(self) -> int:
        return int(self.asset.size)

    def flat(self, values: Numbers) -> Numbers:  # [asset, step] -> [slot]
        """Pick the slots' values from a full array."""
        return values[self.asset, self.step]

    def spread(self, values: Numbers, slots: Indices | None = None) -> Numbers:  # [slot] -> [asset, step]
        """Put the slots' values into a full array, zero elsewhere."""
        full = np.zeros((self.assets, self.steps))
        chosen = slice(None) if slots is None else slots
        full[self.asset[chosen], self.step[chosen]] = values
        return full

    @cached_property
    def change(self) -> Any:  # [slot, slot]
        """Sparse matrix that takes each slot's energy less the energy of the slot before it."""
        slot = np.arange(len(self))
        later = slot[~self.is_first]
        rows, columns = np.concatenate([slot, later]), np.concatenate([slot, later - 1])
        values = np.concatenate([np.ones(slot.size), -np.ones(later.size)])
        return sp.csr_array((values, (rows, columns)), shape=(slot.size, slot.size))

    def sum_by_step(self, chosen: NDArray[np.bool_] | None = None) -> Any:  # [step, slot]
        """Sparse matrix that adds the slots of the chosen assets (None: of all) step by step."""
        kept = np.arange(len(self)) if chosen is None else np.flatnonzero(chosen[self.asset])
        return sp.csr_array((np.ones(kept.size), (self.step[kept], kept)), shape=(self.steps, len(self)))

    def sum_by_group(self, index: Indices, groups: int) -> Any:  # [group * steps + step, slot]
        """Sparse matrix that adds the slots by group and step; index −1 belongs to no group."""
        group = index[self.asset]
        kept = np.flatnonzero(group >= 0)
        rows = group[kept] * self.steps + self.step[kept]
        return sp.csr_array((np.ones(kept.size), (rows, kept)), shape=(groups * self.steps, len(self)))
