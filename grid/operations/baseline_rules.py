"""Baseline rules: making the shipped ones known. A changed rule is a new row from a later date; rows are never edited."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from grid.models import BaselineRule

SHIPPED_FILE = Path(__file__).resolve().parent.parent / "data" / "baseline_rules.toml"


def register_shipped_baseline_rules() -> int:
    """Register the shipped rules that are missing; returns how many. Rules that are there stay as they are."""
    before = BaselineRule.objects.count()
    BaselineRule.objects.bulk_create([BaselineRule(**entry) for entry in shipped_rules()], ignore_conflicts=True)
    return BaselineRule.objects.count() - before


def shipped_rules() -> list[dict[str, Any]]:
    """The entries of `grid/data/baseline_rules.toml`."""
    entries: list[dict[str, Any]] = tomllib.loads(SHIPPED_FILE.read_text(encoding="utf-8"))["rule"]
    return entries
