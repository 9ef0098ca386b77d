"""Which limits of others hold at stations now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from fleet.models import ChargingLimit, Evse
from fleet.queries.der import LIMIT_MAX_DISCHARGE, discharge_fractions


@dataclass(frozen=True, slots=True)
class OutsideLimit:
    """The tightest limit of others at an EVSE, in kW, never negative; infinite where there is none. `source` set it."""

    charge_kw: float
    discharge_kw: float
    source: str = ""


UNLIMITED = OutsideLimit(float("inf"), float("inf"))


def outside_limits(*, evse_ids: Iterable[int], now: datetime) -> dict[int, OutsideLimit]:
    """The limits that hold at these EVSEs now, those of DER controls among them. A limit of a whole station is shared by
    those of its EVSEs that are asked for: name every one with a car."""
    evses = list(Evse.objects.filter(pk__in=list(evse_ids)).values_list("pk", "charger_id", "max_discharge_kw"))
    sharers: dict[int, int] = {}
    for _, charger_id, _ in evses:
        sharers[charger_id] = sharers.get(charger_id, 0) + 1
    rows = ChargingLimit.objects.filter(charger_id__in=sharers, starts_at__lte=now).filter(
        Q(ends_at=None) | Q(ends_at__gt=now)
    )
    by_place: dict[tuple[int, int | None], list[ChargingLimit]] = {}
    for row in rows:
        by_place.setdefault((row.charger_id, row.evse_id), []).append(row)
    fractions = discharge_fractions(charger_ids=sharers, now=now)
    found = {}
    for evse_id, charger_id, max_discharge_kw in evses:
        holding = [_now(row, now, 1) for row in by_place.get((charger_id, evse_id), ())]
        holding += [_now(row, now, sharers[charger_id]) for row in by_place.get((charger_id, None), ())]
        if charger_id in fractions:
            left_kw = max_discharge_kw * fractions[charger_id]
            holding.append(OutsideLimit(float("inf"), left_kw, LIMIT_MAX_DISCHARGE))
        if holding:
            found[evse_id] = OutsideLimit(
                min(limit.charge_kw for limit in holding),
                min(limit.discharge_kw for limit in holding),
                min(holding, key=lambda limit: limit.charge_kw).source,
            )
    return found


def _now(row: ChargingLimit, now: datetime, sharers: int) -> OutsideLimit:
    elapsed_s = (now - row.starts_at).total_seconds()
    begun = [step for step in row.steps if step["offset_s"] <= elapsed_s]
    if not begun:
        return OutsideLimit(float("inf"), float("inf"), row.source)
    charge_kw, discharge_kw = begun[-1]["limit_kw"], begun[-1]["discharge_limit_kw"]
    return OutsideLimit(
        float("inf") if charge_kw is None else charge_kw / sharers,
        float("inf") if discharge_kw is None else discharge_kw / sharers,
        row.source,
    )
