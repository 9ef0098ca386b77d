"""Taking used packs in: inspected, graded by the rules of the day, kept with every reason, and registered if they pass."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from django.db import transaction

from common.errors import InvalidInput
from fleet.core.pack_intake import IntakeGrade, IntakeRules, IntakeVerdict, PackInspection, grade_pack
from fleet.models import Pack, PackIntake, PackIntakeRule
from fleet.operations.assets.checks import require_identity, require_not_negative, require_positive, require_text
from fleet.operations.assets.hub import PackSpecification, RegisteredPack, register_pack

SHIPPED_RULES = Path(__file__).resolve().parents[2] / "data" / "pack_intake_rules.json"


@dataclass(frozen=True, slots=True)
class IntakeOutcome:
    """What became of a pack that was offered; `pack` is None for one that was refused."""

    intake_id: int
    grade: IntakeGrade
    rule_from: date
    pack: RegisteredPack | None


@transaction.atomic
def intake_pack(
    *,
    identity: str,
    inverter_identity: str,
    device_id: int,
    inspection: PackInspection,
    specification: PackSpecification,
    inspected_by: str,
    now: datetime,
) -> IntakeOutcome:
    """Grade a pack by the rules that hold today, keep the result, and register the pack unless it is refused.

    A derated pack is registered with the rules' part of its power; its health is the one that was tested. A refused one
    is kept too, with every reason, and may be offered again after repair.

    Raises:
        InvalidInput: a figure is impossible; the error names it.
        NotRegistered: the inverter. AlreadyRegistered: the identity, or the inverter's unit.
    """
    require_identity(identity)
    require_text(inspected_by, field="inspected_by", longest=120)
    _check(inspection, now.date())
    rule = intake_rule_on(now.date())
    grade = grade_pack(inspection, _rules_of(rule), on=now.date())
    pack = None
    if grade.verdict is not IntakeVerdict.REFUSE:
        pack = register_pack(
            identity=identity,
            inverter_identity=inverter_identity,
            device_id=device_id,
            now=now,
            specification=replace(
                specification,
                nameplate_kwh=inspection.nameplate_kwh,
                state_of_health_fraction=inspection.state_of_health_fraction or 0.0,
                manufactured_on=inspection.manufactured_on,
                max_charge_kw=specification.max_charge_kw * grade.power_fraction,
                max_discharge_kw=specification.max_discharge_kw * grade.power_fraction,
            ),
        )
        note = f"intake: {grade.verdict}" + "".join(f", {reason.finding}" for reason in grade.reasons)
        Pack.objects.get(pk=pack.pack_id).history.filter(kind="intake").update(note=note[:300])
    row = PackIntake.objects.create(
        identity=identity,
        serial_number=specification.serial_number,
        origin=specification.origin,
        inspected_at=now,
        inspected_by=inspected_by,
        inspection=_plain(asdict(inspection)),
        rule=rule,
        verdict=grade.verdict,
        reasons=[asdict(reason) for reason in grade.reasons],
        pack_id=pack.pack_id if pack is not None else None,
    )
    return IntakeOutcome(row.pk, grade, rule.valid_from, pack)


def intake_rule_on(day: date) -> PackIntakeRule:
    """The rule that holds on a day; the shipped ones are put in where they are not known yet.

    Raises:
        InvalidInput: no rule is old enough.
    """
    if not PackIntakeRule.objects.exists():
        PackIntakeRule.objects.bulk_create([PackIntakeRule(**rule) for rule in _shipped_rules()], ignore_conflicts=True)
    rule = PackIntakeRule.objects.filter(valid_from__lte=day).order_by("-valid_from").first()
    if rule is None:
        raise InvalidInput(
            f"No rule for intake holds on {day}.", field="valid_from", remedy="Add one in the admin console."
        )
    return rule


@cache
def _shipped_rules() -> list[dict[str, Any]]:
    return [
        {**rule, "valid_from": date.fromisoformat(rule["valid_from"])} for rule in json.loads(SHIPPED_RULES.read_text())
    ]


def _rules_of(rule: PackIntakeRule) -> IntakeRules:
    return IntakeRules(**{field.name: getattr(rule, field.name) for field in fields(IntakeRules)})


def _check(inspection: PackInspection, today: date) -> None:
    require_positive(inspection.nameplate_kwh, field="nameplate_kwh")
    if inspection.tested_kwh is not None:
        tested = require_positive(inspection.tested_kwh, field="tested_kwh")
        if tested > 1.2 * inspection.nameplate_kwh:
            raise InvalidInput(
                f"{tested:g} kWh is beyond what such a pack can hold.",
                field="tested_kwh",
                remedy="Give the energy from full to empty in kWh, and the nameplate in kWh.",
            )
    for name in ("cell_spread_v", "resistance_ratio", "insulation_ohm_per_v"):
        value = getattr(inspection, name)
        if value is not None:
            require_not_negative(value, field=name)
    if inspection.manufactured_on is not None and inspection.manufactured_on > today:
        raise InvalidInput(
            f"{inspection.manufactured_on} is in the future.",
            field="manufactured_on",
            remedy="Give the day it was made.",
        )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, date) else value for key, value in values.items()}
