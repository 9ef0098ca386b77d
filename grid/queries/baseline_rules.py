"""Baseline rules as plain data: the rule of a method that holds at an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from common.errors import NotFound
from grid.core.baseline import Adjustment, HistoryRule
from grid.models import BaselineKind, BaselineMethod, BaselineRule
from grid.queries.events import METERS_REPORT_WITHIN, EventView


class UnknownBaselineRule(NotFound):
    """No rule of that method at that time."""

    code = "unknown_baseline_rule"


@dataclass(frozen=True, slots=True)
class BaselineRuleView:
    """One rule; see `grid.models.BaselineRule` for the meaning of each field."""

    rule_id: int
    code: str
    effective_from: datetime
    kind: str
    uses_before: bool
    before_s: int
    before_gap_s: int
    uses_after: bool
    after_s: int
    after_gap_s: int
    days_looked_at: int
    days_kept: int
    rest_days_looked_at: int
    rest_days_kept: int
    look_back_days: int
    least_day_fraction: float
    adjustment: str
    adjustment_cap_fraction: float
    window_from_s: int
    window_until_s: int
    window_slot_s: int
    source: str
    unverified: tuple[str, ...]

    @property
    def reads_history(self) -> bool:
        """Whether it looks at earlier days."""
        return self.kind == BaselineKind.HISTORY

    def history_rule(self, *, rest_day: bool) -> HistoryRule:
        """The rule as the arithmetic takes it, for a working day or a day of rest."""
        return HistoryRule(
            days_looked_at=self.rest_days_looked_at if rest_day else self.days_looked_at,
            days_kept=self.rest_days_kept if rest_day else self.days_kept,
            least_day_fraction=self.least_day_fraction,
            adjustment=Adjustment(self.adjustment),
            adjustment_cap_fraction=self.adjustment_cap_fraction,
        )


def baseline_rule(code: str, at: datetime) -> BaselineRuleView:
    """The rule of a method that holds at an instant; before the first one's date, the first.

    Raises:
        UnknownBaselineRule: there is none of that method.
    """
    rows = BaselineRule.objects.filter(code=code).order_by("-effective_from")
    row = rows.filter(effective_from__lte=at).first() or rows.last()
    if row is None:
        raise UnknownBaselineRule(
            f"There is no rule for the baseline {code!r}.",
            field="baseline_method",
            remedy="manage.py migrate registers the shipped rules.",
        )
    fields = {name: getattr(row, name) for name in BaselineRuleView.__slots__ if name != "rule_id"}
    return BaselineRuleView(rule_id=row.pk, **{**fields, "unverified": tuple(row.unverified)})


def baseline_rules() -> list[BaselineRuleView]:
    """Every method's latest rule, by code."""
    codes = BaselineRule.objects.order_by("code").values_list("code", flat=True).distinct()
    latest = [BaselineRule.objects.filter(code=code).latest("effective_from") for code in codes]
    return [baseline_rule(row.code, row.effective_from) for row in latest]


def evidence_complete_at(event: EventView) -> datetime:
    """When the meters have told everything that an event's settlement rests on."""
    ends_at = event.ends_at
    if event.baseline_method in (BaselineMethod.METER_BEFORE_AFTER, BaselineMethod.SAME_DAY_3_PLUS_2):
        rule = baseline_rule(event.baseline_method, event.starts_at)
        ends_at += timedelta(seconds=rule.after_gap_s + (rule.after_s or event.baseline_window_s))
    return ends_at + METERS_REPORT_WITHIN
