"""Grading a used pack on its way in: accept it, accept it with less power, or refuse it, each with every reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

DAYS_PER_YEAR = 365.25


class IntakeVerdict(StrEnum):
    """What becomes of a pack that is offered."""

    ACCEPT = "accept"
    DERATE = "derate"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class PackInspection:
    """What was found at the bench; None for what was not measured.

    Attributes:
        tested_kwh: energy from full to empty.
        cell_spread_v: between the strongest and the weakest cell at rest.
        resistance_ratio: inner resistance over that of a new pack.
        insulation_ohm_per_v: between the cells and the casing.
        damaged: visible damage, swelling or traces of water.
    """

    nameplate_kwh: float
    tested_kwh: float | None
    manufactured_on: date | None
    cell_spread_v: float | None
    resistance_ratio: float | None
    insulation_ohm_per_v: float | None
    damaged: bool

    @property
    def state_of_health_fraction(self) -> float | None:
        """What it holds over what it held when new."""
        return None if self.tested_kwh is None else self.tested_kwh / self.nameplate_kwh


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """The marks that hold at a date. A pack between a pair of marks is taken with `derated_power_fraction` of its power."""

    refuse_below_health: float
    derate_below_health: float
    refuse_over_age_years: float
    refuse_over_cell_spread_v: float
    derate_over_cell_spread_v: float
    refuse_over_resistance_ratio: float
    derate_over_resistance_ratio: float
    refuse_under_insulation_ohm_per_v: float
    derated_power_fraction: float


@dataclass(frozen=True, slots=True)
class IntakeReason:
    """One finding: what was measured, what the mark is, and what it leads to. `measured` is None for what is missing."""

    finding: str
    verdict: IntakeVerdict
    measured: float | None
    mark: float | None


@dataclass(frozen=True, slots=True)
class IntakeGrade:
    """The verdict, every reason for it, and the part of its power that the pack is taken with."""

    verdict: IntakeVerdict
    reasons: tuple[IntakeReason, ...]
    power_fraction: float


def grade_pack(inspection: PackInspection, rules: IntakeRules, *, on: date) -> IntakeGrade:
    """Grade a pack. What decides about people's safety must have been measured: a missing value is a reason to refuse.

    The worst finding decides; all are told, so that whoever brings the pack need not come twice.
    """
    age = None if inspection.manufactured_on is None else (on - inspection.manufactured_on).days / DAYS_PER_YEAR
    health = inspection.state_of_health_fraction
    findings = [
        _under("state_of_health", health, rules.refuse_below_health, rules.derate_below_health),
        _over("age_years", age, rules.refuse_over_age_years, None, needed=False),
        _over(
            "cell_spread_v",
            inspection.cell_spread_v,
            rules.refuse_over_cell_spread_v,
            rules.derate_over_cell_spread_v,
        ),
        _over(
            "resistance_ratio",
            inspection.resistance_ratio,
            rules.refuse_over_resistance_ratio,
            rules.derate_over_resistance_ratio,
            needed=False,
        ),
        _under("insulation_ohm_per_v", inspection.insulation_ohm_per_v, rules.refuse_under_insulation_ohm_per_v, None),
        IntakeReason("damaged", IntakeVerdict.REFUSE, 1.0, 0.0) if inspection.damaged else None,
    ]
    reasons = tuple(reason for reason in findings if reason is not None)
    worst = {reason.verdict for reason in reasons}
    if IntakeVerdict.REFUSE in worst:
        return IntakeGrade(IntakeVerdict.REFUSE, reasons, 0.0)
    if IntakeVerdict.DERATE in worst:
        return IntakeGrade(IntakeVerdict.DERATE, reasons, rules.derated_power_fraction)
    return IntakeGrade(IntakeVerdict.ACCEPT, reasons, 1.0)


def _over(
    finding: str, measured: float | None, refuse: float, derate: float | None, *, needed: bool = True
) -> IntakeReason | None:
    if measured is None:
        return IntakeReason(finding, IntakeVerdict.REFUSE, None, None) if needed else None
    if measured > refuse:
        return IntakeReason(finding, IntakeVerdict.REFUSE, measured, refuse)
    if derate is not None and measured > derate:
        return IntakeReason(finding, IntakeVerdict.DERATE, measured, derate)
    return None


def _under(finding: str, measured: float | None, refuse: float, derate: float | None) -> IntakeReason | None:
    if measured is None:
        return IntakeReason(finding, IntakeVerdict.REFUSE, None, None)
    if measured < refuse:
        return IntakeReason(finding, IntakeVerdict.REFUSE, measured, refuse)
    if derate is not None and measured < derate:
        return IntakeReason(finding, IntakeVerdict.DERATE, measured, derate)
    return None
