"""Derating and isolation of packs by what they report of themselves, their return, and the record of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from fleet.core.pack_condition import PackRules, PackStanding, judge_pack
from fleet.models import CapacityTestState, DeviceCommand, Pack, PackHealthRecord
from fleet.operations.capacity_tests import end_test
from fleet.operations.changes import announce_change
from fleet.operations.commands import NO_ANSWER_FAULT, PowerSchedule, queue_schedules

RULES = PackRules()
ISOLATED_FAULT = "isolated: "
# How long an isolated pack is told to stand still; it is renewed by whoever plans, once it may do something again.
STAND_STILL = timedelta(hours=1)
# A pack that answered no command is asked again this often, with the harmless command to stand still.
ASK_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ReportedCondition:
    """What a pack says of its cells: hottest place, spread of cell voltages, alarms by name; None for what it does not."""

    asset_id: int
    temperature_c: float | None
    cell_spread_v: float | None
    alarms: tuple[str, ...] = ()


@transaction.atomic
def record_pack_conditions(
    *, conditions: Sequence[ReportedCondition], now: datetime, rules: PackRules | None = None
) -> int:
    """Judge packs by what they report. Returns how many may do something else than before.

    A pack that must do nothing is marked, told at once to stand still, and left out of plans; the others of its hub go
    on. One that has recovered returns by itself. Both stand in its history, and planning is told.
    """
    reported = {condition.asset_id: condition for condition in conditions}
    packs = (
        Pack.objects.filter(asset_id__in=reported)
        .select_related("asset__site__grid_node")
        .select_for_update(of=("self", "asset"), no_key=True)
        .order_by("asset_id")
    )
    changed = 0
    for pack in packs:
        condition = reported[pack.asset_id]
        before = _standing(pack)
        after = judge_pack(
            before,
            temperature_c=condition.temperature_c,
            cell_spread_v=condition.cell_spread_v,
            alarms=condition.alarms,
            now=now,
            rules=rules or RULES,
        )
        if after != before:
            changed += _apply(pack, before, after, now)
        if pack.asset.fault == NO_ANSWER_FAULT:
            _ask_again(pack, now)
    return changed


def _standing(pack: Pack) -> PackStanding:
    isolated = pack.asset.fault.startswith(ISOLATED_FAULT)
    return PackStanding(
        pack.charge_fraction, pack.discharge_fraction, isolated, pack.condition_reason, pack.sound_since
    )


def _apply(pack: Pack, before: PackStanding, after: PackStanding, now: datetime) -> bool:
    """Write the new standing; returns whether the pack may do something else than before."""
    pack.charge_fraction, pack.discharge_fraction = after.charge_fraction, after.discharge_fraction
    pack.condition_reason, pack.sound_since = after.reason[:200], after.sound_since
    pack.save(update_fields=["charge_fraction", "discharge_fraction", "condition_reason", "sound_since"])
    if after.isolated != before.isolated:
        _isolate(pack, after, now) if after.isolated else _return(pack, now)
        return True
    was_less = min(before.charge_fraction, before.discharge_fraction) < 1
    is_less = min(after.charge_fraction, after.discharge_fraction) < 1
    if is_less and not was_less:
        _note(pack, "derating", f"{after.reason}: {after.charge_fraction:.0%} / {after.discharge_fraction:.0%}", now)
    moved = (before.charge_fraction, before.discharge_fraction) != (after.charge_fraction, after.discharge_fraction)
    if moved and not after.isolated:
        _announce(pack, "found_device")
    return moved


def _isolate(pack: Pack, standing: PackStanding, now: datetime) -> None:
    if pack.asset.fault in ("", NO_ANSWER_FAULT):
        pack.asset.fault = f"{ISOLATED_FAULT}{standing.reason}"[:200]
        pack.asset.save(update_fields=["fault"])
    end_test(pack, CapacityTestState.CANCELLED, f"isolated: {standing.reason}")
    _stand_still(pack, now)
    _note(pack, "incident", f"isolated: {standing.reason}", now)
    _announce(pack, "lost_device")


def _return(pack: Pack, now: datetime) -> None:
    pack.asset.fault = ""
    pack.asset.save(update_fields=["fault"])
    _note(pack, "recovery", "sound again", now)
    _announce(pack, "found_device")


def _stand_still(pack: Pack, now: datetime) -> None:
    queue_schedules(schedules=[PowerSchedule(pack.asset_id, now, (0.0,), (0.0,), now + STAND_STILL)], now=now)


def _ask_again(pack: Pack, now: datetime) -> None:
    if not DeviceCommand.objects.filter(asset_id=pack.asset_id, queued_at__gt=now - ASK_AGAIN).exists():
        _stand_still(pack, now)


def _note(pack: Pack, kind: str, note: str, now: datetime) -> None:
    PackHealthRecord.objects.create(pack=pack, recorded_at=now, kind=kind, note=note[:300])


def _announce(pack: Pack, kind: str) -> None:
    announce_change(kind=kind, asset_id=pack.asset_id, region_id=pack.asset.site.grid_node.region_id)
