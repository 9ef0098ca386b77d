"""Between the plan and the set-points of packs: each hub's planned power is shared anew among its packs.

The plan knows what the hub's power is worth and which energy it needs, but with straight-line losses one pack is as good
as another to it. What it decides for the packs of a hub together stands; which of them does how much follows here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch import DispatchPlan
from aggregator.operations.plan_inputs import PlanInputs
from fleet.core.battery import energy_after_step
from fleet.core.hub import HubPacks, SharingWeights, share_power
from fleet.queries.assets import FlexibleAsset
from fleet.queries.hub import PackFigures, pack_figures

Numbers = NDArray[np.float64]

# In mean energy prices: a kWh of a pack that is 0.1 weaker counts 4 % of a price more, one that is 0.1 behind in charge
# 1 %. The last kWh at full power loses about 12 %, so losses come first, then health, then the balance of charge.
HEALTH_WEIGHT, LEVEL_WEIGHT = 0.4, 0.1
_TOLERANCE_KW = 1e-3
_TOLERANCE_KWH = 1e-6


def share_among_packs(inputs: PlanInputs, plan: DispatchPlan, *, steps: int) -> DispatchPlan:
    """The plan with the first `steps` steps of every hub shared anew; everything else as it was.

    The packs of a site that take part in the same events are one hub here. Kept from the plan: their power together in
    every step, steps in which a pack's power is fixed, and the site's emergency reserve. Steps that the packs cannot do
    when shared, and a hub whose reserve would suffer, stay as planned.
    """
    figures = pack_figures([asset.asset_id for asset in inputs.steered if asset.kind == "pack"])
    power_kw, energy_kwh = plan.power_kw.copy(), plan.energy_kwh.copy()
    weights = _weights(inputs)
    for rows in _hubs(inputs, figures):
        behind = [figures[inputs.steered[row].asset_id] for row in rows.tolist()]
        shared, energies = _share_hub(inputs, plan, rows, behind, weights, steps)
        if _keeps_reserve(inputs, plan, rows, energies):
            power_kw[rows, : shared.shape[1]] = shared
            energy_kwh[rows, : shared.shape[1]] = energies
    changed = np.abs(power_kw - plan.power_kw) > _TOLERANCE_KW
    return replace(
        plan,
        power_kw=power_kw,
        energy_kwh=energy_kwh,
        set_point_kw=np.where(changed, power_kw, plan.set_point_kw),
    )


def _weights(inputs: PlanInputs) -> SharingWeights:
    price = max(float(np.mean(np.abs(inputs.problem.price_per_kwh))), 1e-3)
    return SharingWeights(price, HEALTH_WEIGHT * price, LEVEL_WEIGHT * price)


def _hubs(inputs: PlanInputs, figures: dict[int, PackFigures]) -> list[NDArray[np.intp]]:
    """Rows of the packs that may stand in for each other: of one site, and in the same events."""
    hubs: dict[tuple[object, ...], list[int]] = {}
    for row, asset in enumerate(inputs.steered):
        if asset.asset_id in figures:
            events = tuple(
                bool(target.participates is None or target.participates[row]) for target in inputs.problem.targets
            )
            hubs.setdefault((asset.site_id, *events), []).append(row)
    return [np.array(rows, dtype=np.intp) for rows in hubs.values() if len(rows) > 1]


def _share_hub(
    inputs: PlanInputs,
    plan: DispatchPlan,
    rows: NDArray[np.intp],
    figures: Sequence[PackFigures],
    weights: SharingWeights,
    steps: int,
) -> tuple[Numbers, Numbers]:  # [pack, step] twice
    """Power and energy of the packs of one hub over the first steps, each step from the energies after the one before."""
    assets = [inputs.steered[row] for row in rows.tolist()]
    energy = np.array([asset.energy_kwh for asset in assets])
    fixed = inputs.problem.assets.fixed_power_kw
    power_kw = plan.power_kw[rows, :steps].copy()
    energies = np.empty_like(power_kw)
    for step in range(power_kw.shape[1]):
        step_h = float(plan.horizon.step_h[step])
        if fixed is None or np.isnan(fixed[rows, step]).all():
            total_kw = float(power_kw[:, step].sum())
            shared = share_power(total_kw, _packs_now(assets, figures, energy, step_h), weights)
            if abs(shared.sum() - total_kw) <= _TOLERANCE_KW:
                power_kw[:, step] = shared
        energy = energy_after_step(
            energy,
            power_kw[:, step],
            step_h=step_h,
            charge_efficiency=_column(assets, "charge_efficiency"),
            discharge_efficiency=_column(assets, "discharge_efficiency"),
        )
        energies[:, step] = energy
    return power_kw, energies


def _packs_now(
    assets: Sequence[FlexibleAsset], figures: Sequence[PackFigures], energy_kwh: Numbers, step_h: float
) -> HubPacks:
    """What each pack can do for a whole step from the energy that it has."""
    charge_efficiency, discharge_efficiency = (
        _column(assets, "charge_efficiency"),
        _column(assets, "discharge_efficiency"),
    )
    capacity_kwh, floor_kwh = _column(assets, "capacity_kwh"), _column(assets, "floor_kwh")
    room_kw = np.maximum(capacity_kwh - energy_kwh, 0.0) / (step_h * charge_efficiency)
    spare_kw = np.maximum(energy_kwh - floor_kwh, 0.0) * discharge_efficiency / step_h
    inverters = {figure.inverter_id: figure for figure in figures}
    number = {inverter_id: index for index, inverter_id in enumerate(inverters)}
    return HubPacks(
        inverter=np.array([number[figure.inverter_id] for figure in figures], dtype=np.intp),
        charge_kw=np.minimum(_figures(figures, "charge_kw"), room_kw),
        discharge_kw=np.minimum(_figures(figures, "discharge_kw"), spare_kw),
        charge_efficiency=charge_efficiency,
        discharge_efficiency=discharge_efficiency,
        full_charge_kw=_figures(figures, "full_charge_kw"),
        full_discharge_kw=_figures(figures, "full_discharge_kw"),
        state_of_health_fraction=_figures(figures, "state_of_health_fraction"),
        soc_fraction=energy_kwh / capacity_kwh,
        wear_per_kwh=_column(assets, "wear_per_kwh"),
        inverter_charge_kw=np.array([figure.inverter_charge_kw for figure in inverters.values()]),
        inverter_discharge_kw=np.array([figure.inverter_discharge_kw for figure in inverters.values()]),
    )


def _keeps_reserve(inputs: PlanInputs, plan: DispatchPlan, rows: NDArray[np.intp], energies: Numbers) -> bool:
    """Whether the site's packs hold its emergency reserve as well as in the plan.

    Σ energy' ≥ min(Σ energy, reserve) at the end of every step, over all packs of the site.
    """
    sites = inputs.problem.sites
    if sites is None or sites.emergency_reserve_kwh is None:
        return True
    site = int(inputs.problem.assets.site_index[rows[0]])
    steps = energies.shape[1]
    reserve_kwh = np.broadcast_to(sites.emergency_reserve_kwh[site], (plan.energy_kwh.shape[1],))[:steps]
    packs = np.flatnonzero(
        (inputs.problem.assets.site_index == site) & np.array([asset.kind == "pack" for asset in inputs.steered])
    )
    planned_kwh = plan.energy_kwh[packs, :steps].sum(axis=0)
    after_kwh = planned_kwh - plan.energy_kwh[rows, :steps].sum(axis=0) + energies.sum(axis=0)
    return bool(np.all(after_kwh >= np.minimum(planned_kwh, reserve_kwh) - _TOLERANCE_KWH))


def _column(assets: Sequence[FlexibleAsset], name: str) -> Numbers:
    return np.array([getattr(asset, name) for asset in assets], dtype=np.float64)


def _figures(figures: Sequence[PackFigures], name: str) -> Numbers:
    return np.array([getattr(figure, name) for figure in figures], dtype=np.float64)
