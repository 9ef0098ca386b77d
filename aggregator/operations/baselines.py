"""What the participants of an event would have drawn without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from aggregator.core.plan import EventKind
from aggregator.core.plan import target_power_kw as wanted_kw
from aggregator.operations.evidence import history_baseline_kw
from fleet.queries.state import latest_states, metered_energy
from grid.queries import EventView
from grid.queries.baseline_rules import baseline_rule

# Meters report within this time; what they have not said by then they will not say in time to steer by.
METERS_REPORT_WITHIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Baseline of an event's participants together, positive = import; `final` once it will not change any more."""

    power_kw: float
    final: bool


def event_baseline(*, event: EventView, participants: Sequence[int], now: datetime) -> Baseline:
    """What an event's participants would draw without it.

    A nominated baseline is taken as it stands. Otherwise, once the meters have told all of the programme's window before
    the start: their mean there, as settlement will compute it (an asset that was silent counts for nothing). Until
    then: the estimate that was made when the event was planned; before that, what the meters say now. A programme that
    looks at earlier days has that baseline as soon as its adjustment window has passed.
    """
    if event.baseline_method == "nominated" and event.baseline_kw is not None:
        return Baseline(event.baseline_kw, final=True)
    ids = list(participants)
    if not ids:
        return Baseline(0.0, final=True)
    rule = baseline_rule(event.baseline_method, event.starts_at)
    if rule.reads_history and now >= event.starts_at - timedelta(seconds=rule.window_until_s):
        history_kw = history_baseline_kw(event=event, asset_ids=ids)
        if history_kw is not None:
            return Baseline(history_kw, final=now >= event.starts_at)
    if now >= event.starts_at:
        window_s = rule.before_s or event.baseline_window_s
        until = event.starts_at - timedelta(seconds=rule.before_gap_s)
        window = metered_energy(
            asset_ids=ids, starts_at=until - timedelta(seconds=window_s), ends_at=until, slot_s=window_s
        )
        if window.complete.all() or now >= event.starts_at + METERS_REPORT_WITHIN:
            # a method that also reads the time after the event is not known before: what lies before stands for it
            return Baseline(float(window.net_kwh.sum()) / (window_s / 3600.0), final=not rule.uses_after)
        if event.baseline_kw is not None:
            return Baseline(event.baseline_kw, final=False)
    states = latest_states(ids)
    return Baseline(sum(state.power_kw or 0.0 for state in states.values()), final=False)


def target_power_kw(*, event: EventView, baseline_kw: float) -> float:
    """Total power that an event's participants should have: baseline less the reduction, or plus the increase."""
    return float(wanted_kw(EventKind(event.direction), np.array(event.target_kw), np.array(baseline_kw)))
