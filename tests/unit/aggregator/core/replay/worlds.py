"""Small worlds for replays: a few stays over two days of hourly prices."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import numpy as np

from aggregator.core.replay.engine import interval_boundaries, replay
from aggregator.core.replay.series import PriceKnowledge, SlotSeries
from aggregator.core.replay.sessions import ChargingSession, DepartureKnowledge, VehicleAssumptions, build_fleet

MONDAY = datetime(2023, 5, 1, tzinfo=UTC)
VEHICLE = VehicleAssumptions(charge_kw=10.0, discharge_kw=10.0, charge_efficiency=0.9, discharge_efficiency=0.9)


def at(hours):
    return MONDAY + timedelta(hours=hours)


def stay(name, arrives, leaves, kwh, announced=None):
    said = None if announced is None else at(announced)
    return ChargingSession(name, f"point {name}", at(arrives), at(leaves), said, kwh, None)


def fleet_of(*stays, knowledge=DepartureKnowledge.ACTUAL, vehicle=VEHICLE):
    return build_fleet(stays, vehicle, knowledge)


def prices_of(values):
    return SlotSeries(MONDAY.timestamp(), 3600.0, np.asarray(values, dtype=float))


def knowledge_of(values):
    return PriceKnowledge.daily(prices_of(values), zone=UTC, publication=time(13))


def run(fleet, policy, prices, events=(), site_import_kw=np.inf):
    slots_s = prices.boundaries_s(fleet.arrives_s.min(), fleet.leaves_s.max())
    return replay(fleet, policy, interval_boundaries(fleet, slots_s, events), site_import_kw=site_import_kw)


def random_stays(count, seed):
    """Day-time stays of half an hour to ten hours on three days, some asking for more than can be charged."""
    draw = np.random.default_rng(seed)
    stays = []
    for number in range(count):
        arrives = 24 * draw.integers(0, 3) + draw.uniform(6, 18)
        length = draw.uniform(0.5, 10)
        stays.append(stay(f"{number:03d}", arrives, arrives + length, float(draw.uniform(0, 12) * min(length, 6))))
    return stays
