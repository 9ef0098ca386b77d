"""A hub's planned power among its packs: the same in sum, within every limit, gentler to the weak."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from aggregator.core.dispatch import plan_in_full
from aggregator.operations.hub_sharing import share_among_packs
from aggregator.operations.plan_inputs import HORIZON_H, PlanInputs, build_plan_inputs
from fleet.models import Inverter, Pack, Region
from fleet.queries.assets import fleet_snapshot
from grid.operations.events import record_event
from grid.queries import open_events, prices
from tests.integration.aggregator.parked_fleet import NOW, park_fleet

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def region(transactional_db: None) -> Region:
    region = park_fleet(vehicles=3)
    random = np.random.default_rng(4)
    for pack in Pack.objects.all():
        pack.state_of_health_fraction = float(random.uniform(0.6, 0.9))
        pack.save(update_fields=["state_of_health_fraction"])
    Inverter.objects.filter(pk=Inverter.objects.order_by("pk")[0].pk).update(max_discharge_kw=200)
    record_event(
        requested_by="grid-operator",
        idempotency_key="reduce",
        programme_code="fast-response",
        direction="reduce",
        target_kw=800.0,
        starts_at=NOW + timedelta(seconds=30),
        ends_at=NOW + timedelta(seconds=630),
        now=NOW,
    )
    return region


def inputs_of(region: Region) -> PlanInputs:
    return build_plan_inputs(
        snapshot=fleet_snapshot(region_id=region.pk, now=NOW),
        events=open_events(region_id=region.pk, now=NOW),
        prices=prices(region_id=region.pk, starts_at=NOW, ends_at=NOW + timedelta(hours=HORIZON_H + 1)),
        region_id=region.pk,
        now=NOW,
    )


def test_the_hub_does_in_sum_what_was_planned_and_its_packs_do_it_together(region: Region) -> None:
    inputs = inputs_of(region)
    plan = plan_in_full(inputs.problem, gap=5e-4, most_exact_assets=500)
    steps = 45
    shared = share_among_packs(inputs, plan, steps=steps)
    packs = np.array([asset.kind == "pack" for asset in inputs.steered])
    assert shared.power_kw[packs].sum(axis=0) == pytest.approx(plan.power_kw[packs].sum(axis=0), abs=2e-3)
    assert shared.power_kw[~packs] == pytest.approx(plan.power_kw[~packs])
    assert shared.power_kw[:, steps:] == pytest.approx(plan.power_kw[:, steps:])
    assets = inputs.problem.assets
    assert np.all(shared.power_kw <= assets.charge_kw[:, None] / 0.4)
    assert np.all(shared.energy_kwh >= np.minimum(assets.floor_kwh, plan.energy_kwh.min(axis=1))[:, None] - 1e-6)
    assert np.all(shared.energy_kwh <= assets.capacity_kwh[:, None] + 1e-6)
    rows = {asset.asset_id: row for row, asset in enumerate(inputs.steered)}
    for inverter in Inverter.objects.prefetch_related("packs"):
        behind = [rows[pack.asset_id] for pack in inverter.packs.all()]
        assert -shared.power_kw[behind].sum(axis=0).min() <= inverter.max_discharge_kw + 1e-3
    busy = int(np.argmin(plan.power_kw[packs].sum(axis=0)[:steps]))
    assert plan.power_kw[packs, busy].sum() < -300
    # together: nobody near its limit while others stand still, as a plan with straight-line losses has it
    assert np.square(shared.power_kw[packs, busy]).sum() < 0.9 * np.square(plan.power_kw[packs, busy]).sum()


def test_the_weaker_packs_do_less(region: Region) -> None:
    inputs = inputs_of(region)
    plan = plan_in_full(inputs.problem, gap=5e-4, most_exact_assets=500)
    shared = share_among_packs(inputs, plan, steps=45)
    figures = {pack.asset_id: pack for pack in Pack.objects.all()}
    rows = [row for row, asset in enumerate(inputs.steered) if asset.kind == "pack"]
    energy_kwh = (np.maximum(-shared.power_kw[rows, :45], 0.0) * plan.horizon.step_h[:45]).sum(axis=1)
    health = np.array([figures[inputs.steered[row].asset_id].state_of_health_fraction for row in rows])
    level = np.array([inputs.steered[row].energy_kwh / inputs.steered[row].capacity_kwh for row in rows])
    # of what each did, the part that its health explains beside its charge
    design = np.column_stack([np.ones_like(health), health, level])
    coefficients, *_ = np.linalg.lstsq(design, energy_kwh, rcond=None)
    assert coefficients[1] > 0
    assert coefficients[2] > 0
