"""One tick of the tracking loop for a million assets: errors small and large, up and down."""

from __future__ import annotations

import json
from time import perf_counter

import numpy as np

from aggregator.core.tracking import TrackedAssets, TrackingRules, track

ASSETS = 1_000_000
ROUNDS = 9
GOAL_MS = 100.0


def portfolio(generator: np.random.Generator) -> TrackedAssets:
    commanded_kw = generator.choice([0.0, 3.7, 7.4, 11.0, -5.0, -11.0], ASSETS)
    return TrackedAssets(
        planned_kw=commanded_kw + generator.choice([0.0, 0.0, 0.0, 1.0], ASSETS),
        commanded_kw=commanded_kw,
        commanded_age_s=generator.uniform(0, 300, ASSETS),
        measured_kw=commanded_kw + generator.normal(0, 0.1, ASSETS),
        measured_age_s=generator.uniform(0, 10, ASSETS),
        mismatch_s=np.zeros(ASSETS),
        lower_kw=np.full(ASSETS, -11.0),
        upper_kw=generator.choice([7.4, 11.0, 22.0], ASSETS),
        laxity_h=generator.uniform(0, 10, ASSETS),
    )


def main() -> None:
    assets = portfolio(np.random.default_rng(1))
    total_kw = float(assets.commanded_kw.sum())
    ticks = {}
    for error_kw in (-5_000.0, 5_000.0, -500_000.0, -3_000_000.0):
        took_ms, correction = [], None
        for _ in range(ROUNDS):
            started = perf_counter()
            correction = track(total_kw + error_kw, assets, TrackingRules(), elapsed_s=4.0)
            took_ms.append(1000.0 * (perf_counter() - started))
        assert correction is not None
        ticks[f"{error_kw:+.0f} kW"] = {
            "median_ms": round(float(np.median(took_ms)), 1),
            "changed": int(correction.changed.sum()),
            "unresolved_kw": round(correction.unresolved_kw, 1),
        }
    print(json.dumps({"benchmark": "tracking_tick", "assets": ASSETS, "goal_ms": GOAL_MS, "ticks": ticks}))


if __name__ == "__main__":
    main()
