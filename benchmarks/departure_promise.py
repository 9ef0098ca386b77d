"""What was promised of departures against what happened, out of sample, on recorded charging sessions.

    python benchmarks/departure_promise.py SESSIONS.csv [--tested-from 2019-07-01]

Prints one line of JSON. Each forecast is learnt only from stays that were over when the car was plugged in. `said` is the
probability; `was` the part of the cars, of those that stayed long enough to be charged, that were still there at the instant
that was planned for; `firm` the same for promises of the sum of all cars' power some hours ahead.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aggregator.core.margin import borne_out_deviation, firm_power_kw
from aggregator.core.replay.foresight import POOLED_FOR
from aggregator.core.replay.sessions import ChargingSession
from aggregator.management.simulation.sessions import read_sessions
from fleet.core.departure import (
    QUANTILE_PROBABILITIES,
    EndedStays,
    RunningStay,
    StayHistory,
    forecast_departure,
    presence_probability,
)

CHARGE_KW = 6.6
PROBABILITIES = (0.8, 0.9, 0.95)
AHEAD_H = (1.0, 2.0, 4.0)
FEWEST_CARS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sessions", type=Path)
    parser.add_argument("--tested-from", type=date.fromisoformat, default=date(2019, 7, 1))
    options = parser.parse_args()
    recorded, _ = read_sessions(options.sessions)
    # a statement that comes true to the second was filled in afterwards: nobody had said anything
    stated = [one for one in recorded if one.announced_at is not None and one.announced_at != one.leaves_at]
    print(json.dumps(measure(sorted(stated, key=lambda one: one.arrives_at), options.tested_from)))


def measure(sessions: Sequence[ChargingSession], tested_from: date) -> dict[str, Any]:
    began = time.process_time()
    arrived_s = np.array([one.arrives_at.timestamp() for one in sessions])
    left_s = np.array([one.leaves_at.timestamp() for one in sessions])
    stated_s = np.array([one.announced_at.timestamp() for one in sessions if one.announced_at is not None])
    served_s = arrived_s + np.array([one.requested_kwh for one in sessions]) / CHARGE_KW * 3600.0
    tested = np.array([one.arrives_at.date() >= tested_from for one in sessions])
    result: dict[str, Any] = {"benchmark": "departure_promise", "sessions": len(sessions), "tested": int(tested.sum())}
    quantiles_s = np.full((len(sessions), QUANTILE_PROBABILITIES.size), np.nan)
    for probability in PROBABILITIES:
        leaves_after_s, expected_s = np.full(len(sessions), np.nan), np.full(len(sessions), np.nan)
        for row in range(len(sessions)):
            now_s = float(arrived_s[row])
            over = np.flatnonzero((left_s < now_s) & (left_s >= now_s - POOLED_FOR.total_seconds()))
            site = np.zeros(over.size, dtype=np.int64)
            history = StayHistory(
                EndedStays(over, site, arrived_s[over], stated_s[over], left_s[over]), pooled_from_s=0.0
            )
            told = forecast_departure(
                history,
                RunningStay(-1, 0, now_s, float(stated_s[row])),
                now_s=now_s,
                served_s=float(served_s[row]),
                probability=probability,
            )
            leaves_after_s[row], expected_s[row] = told.leaves_after_s, told.expected_s
            if told.quantiles_s.size:
                quantiles_s[row] = told.quantiles_s
        servable = tested & (left_s >= served_s)
        kept = left_s >= leaves_after_s
        result[f"said_{probability:g}"] = {
            "was": _mean(kept[servable]),
            "was_by_month": {
                str(month): _mean(kept[servable & (_months(sessions) == month)])
                for month in np.unique(_months(sessions)[tested])
            },
            "stated_departure_would_be": _mean((left_s >= stated_s)[servable]),
            "mean_h_before_stated": _mean((stated_s - leaves_after_s)[servable] / 3600.0),
        }
    error_h = (left_s - expected_s)[tested] / 3600.0
    stated_h = (left_s - stated_s)[tested] / 3600.0
    result["expected"] = {"bias_h": _mean(error_h), "error_h": _mean(np.abs(error_h))}
    result["stated"] = {"bias_h": _mean(stated_h), "error_h": _mean(np.abs(stated_h))}
    result["firm"] = firm(arrived_s, left_s, quantiles_s, float(arrived_s[tested].min()))
    result["cpu_s"] = round(time.process_time() - began, 1)
    return result


def firm(arrived_s: np.ndarray, left_s: np.ndarray, quantiles_s: np.ndarray, tested_from_s: float) -> dict[str, Any]:
    """Each full hour: the power of the cars present that is promised for later, and how often it was there.

    `independent` takes presences as independent, `borne_out` goes by the residuals of the month before.
    """
    known = ~np.isnan(quantiles_s).any(axis=1)
    result: dict[str, Any] = {}
    for ahead_h in AHEAD_H:
        ahead_s = ahead_h * 3600.0
        sums: list[tuple[float, float]] = []  # when it was foreseen, residual
        found: dict[str, list[tuple[bool, float]]] = {}
        for now_s in np.arange(float(arrived_s[known].min()), float(arrived_s.max()), 3600.0).tolist():
            rows = np.flatnonzero((arrived_s <= now_s) & (left_s > now_s) & known)
            if rows.size < FEWEST_CARS:
                continue
            presence = presence_probability(quantiles_s[rows], np.array([now_s + ahead_s]), now_s)
            there = float(np.sum(left_s[rows] > now_s + ahead_s))
            past = [residual for at_s, residual in sums if now_s - POOLED_FOR.total_seconds() < at_s < now_s - ahead_s]
            if now_s >= tested_from_s:
                for probability in PROBABILITIES:
                    deviation = borne_out_deviation({ahead_h: np.array(past)}, np.array([ahead_h]), probability)
                    for name, z in (("independent", None), ("borne_out", deviation)):
                        kw = firm_power_kw(np.full((rows.size, 1), CHARGE_KW), presence, probability, z)[0]
                        held = (CHARGE_KW * there >= kw - 1e-6, kw / (CHARGE_KW * rows.size))
                        found.setdefault(f"{ahead_h:g}_h_{probability:g}_{name}", []).append(held)
            spread = float(np.sqrt((presence * (1.0 - presence)).sum()))
            if spread > 0.0:
                sums.append((now_s, (there - float(presence.sum())) / spread))
        for name, held in found.items():
            was, part = np.array([one for one, _ in held]), np.array([one for _, one in held])
            result[name] = {"was": _mean(was), "part_promised": _mean(part), "times": len(held)}
    return result


def _months(sessions: Sequence[ChargingSession]) -> np.ndarray:
    return np.array([f"{one.arrives_at:%Y-%m}" for one in sessions])


def _mean(values: np.ndarray) -> float:
    return round(float(np.mean(values)), 4)


if __name__ == "__main__":
    main()
