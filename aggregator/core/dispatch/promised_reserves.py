"""Promised reserves: an independent check that they can be delivered, and what is missing of what is committed.

Plain numpy over the problem as it was given and the set-points as they would be sent; it shares no code with either method.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.calls import call_steps
from aggregator.core.dispatch.preparation import clamped_least_kwh, play_out_fixed_power
from aggregator.core.dispatch.problem import DispatchProblem, ReserveDirection
from aggregator.core.dispatch.result import MissedPromise, MissKind
from common.horizon import Horizon
from fleet.core.flexibility import FlexibleAssets, latest_charging_kwh

Numbers = NDArray[np.float64]

TOLERANCE_KW = 2e-3
TOLERANCE_KWH = 2e-3
TOLERANCE_GROUP_KW = 2e-2  # of a site: what single precision may lose over its assets
RELATIVE_TOLERANCE = 1e-5
NEGLIGIBLE_KW = 1e-4
MOST_NAMED = 5


def undeliverable(
    problem: DispatchProblem,
    rows: NDArray[np.int64],
    power_kw: NDArray[np.floating],  # [row, step]
    held_kw: NDArray[np.floating],  # [product, row, step]
) -> list[str]:
    """What some assets hold and could not deliver, a sentence for each of the first assets.

    In every step, over all products of a direction at once: the power fits between the set-point and the limit; and a call
    of a product's whole duration, that begins with the step, leaves the energy of every step that it touches above the
    least from which the driver's need can still be met (upwards), or below what the battery holds (downwards).
    """
    before = problem.assets.select(rows)
    free, _ = play_out_fixed_power(before, problem.horizon)  # a step that is fixed holds nothing
    power = power_kw.astype(np.float64)
    energy_kwh = before.energy_kwh[:, None] + np.cumsum(_change_kwh(before, problem.horizon, power), axis=1)
    least_kwh = np.minimum(clamped_least_kwh(free, problem.horizon), energy_kwh)  # what is missed is told elsewhere
    latest_kwh = latest_charging_kwh(free, problem.horizon, least_kwh)
    most_kwh = np.maximum(before.capacity_kwh, before.energy_kwh)[:, None]
    steps = problem.horizon.steps
    found = []
    for direction, room_kw, room_kwh in (
        (ReserveDirection.UP, free.discharge_limit_kw(steps) + power, energy_kwh - latest_kwh),
        (ReserveDirection.DOWN, free.charge_limit_kw(steps) - power, most_kwh - energy_kwh),
    ):
        chosen = [k for k, product in enumerate(problem.reserves) if product.direction is direction]
        if not chosen or not held_kw[chosen].any():
            continue
        held = held_kw[chosen].astype(np.float64)
        bad = (
            ~np.isfinite(held).all(axis=(0, 2))
            | (held < 0).any(axis=(0, 2))
            | _not_there(problem, free, rows, held, chosen)
        )
        found.append((bad, f"holds reserve {direction.value} while it is not there, or takes no part"))
        called = held.sum(axis=0)
        found.append(
            (
                (called > np.maximum(room_kw, 0.0) + TOLERANCE_KW).any(axis=1),
                f"could not deliver its reserve {direction.value} in kW",
            )
        )
        short = _short_of_energy(problem, free, held, chosen, room_kwh)
        found.append((short, f"could not deliver its reserve {direction.value} for its whole duration in kWh"))
    return [f"asset {before.asset_id[row]} {what}" for bad, what in found for row in np.flatnonzero(bad)[:MOST_NAMED]]


def _change_kwh(assets: FlexibleAssets, horizon: Horizon, power_kw: Numbers) -> Numbers:  # [asset, step]
    gain, loss = assets.charge_efficiency[:, None], 1.0 / assets.discharge_efficiency[:, None]
    return np.asarray(horizon.step_h * np.where(power_kw > 0, gain * power_kw, loss * power_kw))


def _not_there(
    problem: DispatchProblem, free: FlexibleAssets, rows: NDArray[np.int64], held: Numbers, chosen: list[int]
) -> NDArray[np.bool_]:  # [asset]
    """Who holds a product in steps before its window, too late in it for a whole call, or without taking part."""
    step = np.arange(problem.horizon.steps)
    bad = np.zeros(rows.size, dtype=np.bool_)
    for kw, product in zip(held, (problem.reserves[k] for k in chosen), strict=True):
        ends = step + call_steps(problem.horizon.step_h, product.duration_h)
        stays = (step >= free.arrival_step[:, None]) & (ends <= free.departure_step[:, None])
        if product.participates is not None:
            stays &= product.participates[rows, None]
        bad |= ((kw > 0) & ~stays).any(axis=1)
    return bad


def _short_of_energy(
    problem: DispatchProblem, free: FlexibleAssets, held: Numbers, chosen: list[int], room_kwh: Numbers
) -> NDArray[np.bool_]:  # [asset]
    step_h, steps = problem.horizon.step_h, problem.horizon.steps
    products = [problem.reserves[k] for k in chosen]
    touched = np.stack([call_steps(step_h, product.duration_h) for product in products])
    ends_h = np.concatenate([[0.0], np.cumsum(step_h)])
    short = np.zeros(len(free), dtype=np.bool_)
    for ahead in range(min(int(touched.max()), steps)):
        start = np.arange(steps - ahead)
        elapsed_h = ends_h[start + ahead + 1] - ends_h[start]
        hours = np.stack([np.minimum(elapsed_h, product.duration_h) for product in products])
        call_kwh = (held[:, :, start] * hours[:, None]).sum(axis=0) / free.discharge_efficiency[:, None]
        lasts = ((held[:, :, start] > 0) & (touched[:, None, start] > ahead)).any(axis=0)
        short |= (lasts & (call_kwh > np.maximum(room_kwh[:, start + ahead], 0.0) + TOLERANCE_KWH)).any(axis=1)
    return short


def oversold(
    problem: DispatchProblem,
    load_kw: list[Numbers],  # of the sites and of the nodes, as far as there are any: [group, step]
    held_kw: NDArray[np.floating],  # [product, asset, step]
    reserve_kw: dict[str, Numbers],  # product -> [step]
) -> list[str]:
    """What is sold and not held, or not taken by the market; and calls that would break the limit of a site or a node."""
    findings = []
    for k, product in enumerate(problem.reserves):
        sold, held = reserve_kw[product.product], held_kw[k].sum(axis=0, dtype=np.float64)
        slack = TOLERANCE_KW + RELATIVE_TOLERANCE * held
        for bad, what in (
            (sold > held + slack, "than all assets hold"),
            (sold > product.max_kw + slack, "than it takes"),
        ):
            findings += [
                f"more of {product.product} is sold {what} in step {step}" for step in np.flatnonzero(bad)[:MOST_NAMED]
            ]
    pairs = ((problem.sites, problem.assets.site_index), (problem.nodes, problem.assets.node_index))
    there = [(groups, group_of) for groups, group_of in pairs if groups is not None]
    for (groups, group_of), load in zip(there, load_kw, strict=True):
        for direction, room_kw in (
            (ReserveDirection.UP, load + groups.export_limit_kw),
            (ReserveDirection.DOWN, groups.import_limit_kw - load),
        ):
            chosen = [k for k, product in enumerate(problem.reserves) if product.direction is direction]
            inside = np.flatnonzero(group_of >= 0)
            called = np.zeros_like(load)
            for step in range(load.shape[1]):
                kw = held_kw[chosen, :, step].sum(axis=0, dtype=np.float64)[inside]
                called[:, step] = np.bincount(group_of[inside], kw, minlength=load.shape[0])
            bad = called > np.maximum(room_kw, 0.0) + TOLERANCE_GROUP_KW + RELATIVE_TOLERANCE * called
            findings += [
                f"a call {direction.value} would break the limit of site {groups.site_id[row]} in step {step}"
                for row, step in np.argwhere(bad)[:MOST_NAMED]
            ]
    return findings


def reserve_cost(problem: DispatchProblem, reserve_kw: dict[str, Numbers]) -> float:
    """What missed commitments cost, less what reserves earn."""
    cost = 0.0
    for product in problem.reserves:
        sold = reserve_kw[product.product]
        cost -= float(np.sum(product.price_per_kw * sold))
        if product.committed_kw is not None:
            cost += product.missed_price_per_kw * float(np.maximum(product.committed_kw - sold, 0.0).sum())
    return cost


def missed_reserves(problem: DispatchProblem, reserve_kw: dict[str, Numbers]) -> Iterator[MissedPromise]:
    """What is missing of what is committed, at its price."""
    for product in problem.reserves:
        if product.committed_kw is None:
            continue
        short_kw = np.maximum(product.committed_kw - reserve_kw[product.product], 0.0)
        for step in np.flatnonzero(short_kw > NEGLIGIBLE_KW):
            kw = float(short_kw[step])
            yield MissedPromise(
                MissKind.RESERVE,
                int(step),
                kw,
                kw * float(problem.horizon.step_h[step]),
                product.missed_price_per_kw,
                product.missed_price_per_kw * kw,
                f"{product.product}: {kw:.1f} kW of the commitment cannot be held for {product.duration_h:g} h",
                event_id=product.product,
            )
