"""When a pack must do less, or nothing: judged from temperature, spread of the cells and alarms, and taken back in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np


@dataclass(frozen=True, slots=True)
class PackRules:
    """From where on a pack does less, does nothing, and may do something again.

    The defaults are for lithium cells with graphite anodes as in cars: no charging below freezing (lithium would plate
    the anode), ageing faster from about 45 °C, and a distance of 0.3 V between cells as the mark of a sick one. Between
    the two marks of a pair the power falls in a straight line.
    """

    no_charge_below_c: float = 0.0
    full_charge_from_c: float = 10.0
    less_from_c: float = 45.0
    isolate_from_c: float = 58.0
    return_below_c: float = 50.0
    less_from_v: float = 0.10
    isolate_from_v: float = 0.30
    return_below_v: float = 0.20
    recovered_after: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class PackStanding:
    """What a pack may do of its full power each way, and why not all. An isolated pack may do nothing; it returns when it
    has been sound for a time, counted from `sound_since`."""

    charge_fraction: float = 1.0
    discharge_fraction: float = 1.0
    isolated: bool = False
    reason: str = ""
    sound_since: datetime | None = None


def judge_pack(
    standing: PackStanding,
    *,
    temperature_c: float | None,
    cell_spread_v: float | None,
    alarms: Sequence[str],
    now: datetime,
    rules: PackRules = PackRules(),
) -> PackStanding:
    """What a pack may do from now on. What it does not tell cannot be held against it.

    An isolated pack is judged by narrower marks, and only returns after `recovered_after` of being sound, so that one at
    the edge does not come and go.
    """
    hot_c = rules.return_below_c if standing.isolated else rules.isolate_from_c
    spread_v = rules.return_below_v if standing.isolated else rules.isolate_from_v
    reasons = [f"alarm {name}" for name in alarms]
    if temperature_c is not None and temperature_c >= hot_c:
        reasons.append(f"temperature {temperature_c:.0f} °C")
    if cell_spread_v is not None and cell_spread_v >= spread_v:
        reasons.append(f"cell spread {cell_spread_v:.2f} V")
    if reasons:
        return PackStanding(0.0, 0.0, True, ", ".join(reasons))
    if standing.isolated:
        sound_since = standing.sound_since or now
        if now - sound_since < rules.recovered_after:
            return PackStanding(0.0, 0.0, True, standing.reason, sound_since)
    return _derated(temperature_c, cell_spread_v, rules)


def _derated(temperature_c: float | None, cell_spread_v: float | None, rules: PackRules) -> PackStanding:
    both, charge, reasons = 1.0, 1.0, []
    if temperature_c is not None:
        both = _between(temperature_c, rules.isolate_from_c, rules.less_from_c)
        charge = _between(temperature_c, rules.no_charge_below_c, rules.full_charge_from_c)
        if min(both, charge) < 1.0:
            reasons.append(f"temperature {temperature_c:.0f} °C")
    if cell_spread_v is not None:
        by_spread = _between(cell_spread_v, rules.isolate_from_v, rules.less_from_v)
        both = min(both, by_spread)
        if by_spread < 1.0:
            reasons.append(f"cell spread {cell_spread_v:.2f} V")
    return PackStanding(_stepped(min(both, charge)), _stepped(both), False, ", ".join(reasons))


def _between(value: float, nothing_at: float, everything_at: float) -> float:
    """0 at the one mark, 1 at the other, a straight line between them."""
    return float(np.clip((value - nothing_at) / (everything_at - nothing_at), 0.0, 1.0))


def _stepped(fraction: float) -> float:
    """In steps of a tenth, downwards: a plan need not follow every degree."""
    return int(fraction * 10 + 1e-9) / 10
