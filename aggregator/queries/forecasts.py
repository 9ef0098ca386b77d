"""How good forecasts were: what was said, and what came."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Avg, Case, Count, DurationField, ExpressionWrapper, F, FloatField, Q, When
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Abs, Extract

from aggregator.models import DepartureForecast

SCORED_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class DepartureScore:
    """Forecasts of departures that have come true or not, by what they were learnt from.

    Attributes:
        basis: own, site, region or stated.
        forecasts: how many.
        bias_h: mean of actual less expected departure; positive = cars leave later than expected.
        error_h: mean of its size.
        stated_bias_h, left_early: the same for what drivers had said, and the part that left earlier than that; None
            where nobody said anything.
        said, was: the probability with which cars were to be there until the instant that was planned for, and the part
            that was, of those that stayed long enough to be served at all; None on drivers' word alone.
    """

    basis: str
    forecasts: int
    bias_h: float | None
    error_h: float | None
    stated_bias_h: float | None
    left_early: float | None
    said: float | None
    was: float | None


def departure_scores(
    *, now: datetime, region_id: int | None = None, within: timedelta = SCORED_FOR
) -> list[DepartureScore]:
    """Scores of the forecasts whose cars left lately; ends that no station told do not count."""
    rows = DepartureForecast.objects.filter(left_at__gte=now - within, left_at__lte=now, left_known=True)
    if region_id is not None:
        rows = rows.filter(region_id=region_id)
    error_h, stated_h = _hours(F("left_at") - F("expected_at")), _hours(F("left_at") - F("stated_at"))
    scored = (
        rows.annotate(error_h=error_h, stated_h=stated_h)
        .values("basis")
        .annotate(
            forecasts=Count("pk"),
            bias_h=Avg("error_h"),
            size_h=Avg(Abs("error_h")),
            stated_bias_h=Avg("stated_h"),
            left_early=_part(Q(left_at__lt=F("stated_at")), among=Q(stated_at__isnull=False)),
            said=Avg("probability"),
            was=_part(
                Q(left_at__gte=F("leaves_after")), among=Q(probability__isnull=False, left_at__gte=F("served_at"))
            ),
        )
        .order_by("basis")
    )
    return [
        DepartureScore(
            row["basis"],
            row["forecasts"],
            row["bias_h"],
            row["size_h"],
            row["stated_bias_h"],
            row["left_early"],
            row["said"],
            row["was"],
        )
        for row in scored
    ]


def _hours(difference: CombinedExpression) -> ExpressionWrapper:
    seconds = Extract(ExpressionWrapper(difference, output_field=DurationField()), "epoch")
    return ExpressionWrapper(seconds / 3600.0, output_field=FloatField())


def _part(condition: Q, *, among: Q) -> Avg:
    """The part of the rows `among` that meet the condition."""
    return Avg(Case(When(among & condition, then=1.0), When(among, then=0.0), output_field=FloatField()))
