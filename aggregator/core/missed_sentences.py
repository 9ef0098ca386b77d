"""Why a promise is missed, as a sentence: the kind and its numbers, in no language yet."""

from __future__ import annotations

from datetime import datetime

from aggregator.core.sentences import Sentence, Value


def describe_miss(kind: str, *, kw: float, kwh: float, price: float, at: datetime) -> Sentence:
    """The sentence for one missed promise of a plan; `at` is the start of the step in which it is missed."""
    energy: dict[str, Value] = {"short_kwh": kwh, "at": at}
    power: dict[str, Value] = {"over_kw": kw, "at": at}
    match kind:
        case "departure_need":
            return Sentence("missed.departure_need", energy)
        case "early_need":
            return Sentence("missed.early_need", energy)
        case "floor":
            return Sentence("missed.floor", energy)
        case "site_import_limit" | "site_export_limit":
            return Sentence("missed.site_limit", power)
        case "emergency_reserve":
            return Sentence("missed.emergency_reserve", energy)
        case "portfolio_import_limit" | "portfolio_export_limit":
            return Sentence("missed.portfolio_limit", power | {"price_money": price})
        case "event_target":
            return Sentence("missed.event_target", power | {"price_money": price})
        case "rebound":
            return Sentence("missed.rebound", power)
        case "reserve":
            return Sentence("missed.reserve", power | {"price_money": price})
    return Sentence("missed.other", energy)


def describe_contribution(*, offered_h: float, delivered_kwh: float, events: int) -> Sentence:
    """An owner's part in the calls of the last 30 days, and the rule by which they are shared."""
    if offered_h <= 0.0:
        return Sentence("fair.nothing_offered")
    if delivered_kwh <= 0.0:
        return Sentence("fair.not_called", {"offered_hours": offered_h})
    return Sentence("fair.called", {"offered_hours": offered_h, "given_kwh": delivered_kwh, "events": events})
