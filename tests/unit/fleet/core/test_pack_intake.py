"""Grading used packs: the worst finding decides, all are told, and what decides about safety must have been measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.core.pack_intake import IntakeRules, IntakeVerdict, PackInspection, grade_pack

RULES = IntakeRules(0.6, 0.7, 16, 0.3, 0.1, 2.5, 1.8, 500, 0.6)
SOUND = PackInspection(24, 19, date(2016, 5, 1), 0.03, 1.4, 2000, False)
TODAY = date(2026, 11, 25)


@pytest.mark.parametrize(
    ("change", "verdict", "findings"),
    [
        ({}, "accept", []),
        ({"tested_kwh": 16.0}, "derate", ["state_of_health"]),
        ({"tested_kwh": 13.0}, "refuse", ["state_of_health"]),
        ({"tested_kwh": None}, "refuse", ["state_of_health"]),
        ({"cell_spread_v": 0.2}, "derate", ["cell_spread_v"]),
        ({"cell_spread_v": 0.31, "tested_kwh": 16.0}, "refuse", ["state_of_health", "cell_spread_v"]),
        ({"insulation_ohm_per_v": 499.0}, "refuse", ["insulation_ohm_per_v"]),
        ({"insulation_ohm_per_v": None}, "refuse", ["insulation_ohm_per_v"]),
        ({"resistance_ratio": None, "manufactured_on": None}, "accept", []),
        ({"resistance_ratio": 2.0}, "derate", ["resistance_ratio"]),
        ({"manufactured_on": date(2009, 1, 1)}, "refuse", ["age_years"]),
        ({"damaged": True}, "refuse", ["damaged"]),
    ],
)
def test_verdicts_and_reasons(change: dict[str, Any], verdict: str, findings: list[str]) -> None:
    grade = grade_pack(replace(SOUND, **change), RULES, on=TODAY)
    assert grade.verdict == verdict
    assert [reason.finding for reason in grade.reasons] == findings
    assert grade.power_fraction == {"accept": 1.0, "derate": 0.6, "refuse": 0.0}[verdict]


@given(st.floats(1, 28), st.floats(1, 28), st.floats(0, 1), st.floats(0, 1))
def test_a_better_pack_is_never_graded_worse(kwh: float, more: float, spread: float, wider: float) -> None:
    order = [IntakeVerdict.REFUSE, IntakeVerdict.DERATE, IntakeVerdict.ACCEPT]
    worse = replace(SOUND, tested_kwh=min(kwh, more), cell_spread_v=max(spread, wider))
    better = replace(SOUND, tested_kwh=max(kwh, more), cell_spread_v=min(spread, wider))
    grades = [order.index(grade_pack(pack, RULES, on=TODAY).verdict) for pack in (worse, better)]
    assert grades[0] <= grades[1]
