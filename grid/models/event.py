"""Events: a grid operator asks, for a time, for more or less power."""

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q


class EventDirection(models.TextChoices):
    REDUCE = "reduce", "Reduce import or send"
    INCREASE = "increase", "Consume more"


class EventState(models.TextChoices):
    RECEIVED = "received", "Received"
    PLANNED = "planned", "Planned"
    CANCELLED = "cancelled", "Cancelled"
    SETTLED = "settled", "Settled"


class DateTimeRange(Func):
    """PostgreSQL's tstzrange."""

    function = "tstzrange"
    output_field = DateTimeRangeField()


class GridEvent(models.Model):
    """One request of a grid operator. `target_kw` is the change against the baseline, never negative."""

    programme = models.ForeignKey("grid.Programme", on_delete=models.PROTECT, related_name="events")
    requested_by = models.CharField(max_length=120, help_text="client identifier of the grid operator")
    idempotency_key = models.CharField(max_length=120, help_text="the operator's own key of this request")
    direction = models.CharField(max_length=10, choices=EventDirection)
    target_kw = models.FloatField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=EventState, default=EventState.RECEIVED)
    received_at = models.DateTimeField()
    cancelled_at = models.DateTimeField(null=True, blank=True)
    # frozen when the event is planned: who takes part, and what they would have drawn (see grid.core.baseline)
    participants = models.JSONField(default=list, blank=True, help_text="asset identifiers")
    baseline_kw = models.FloatField(null=True, blank=True, help_text="estimate before the start; settlement recomputes")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["requested_by", "idempotency_key"], name="event_idempotent"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="event_ends_after_start"),
            models.CheckConstraint(condition=Q(target_kw__gt=0), name="event_target_positive"),
            # one programme never has two events at once
            ExclusionConstraint(
                name="event_no_overlap",
                expressions=[
                    (DateTimeRange("starts_at", "ends_at", RangeBoundary()), RangeOperators.OVERLAPS),
                    ("programme", RangeOperators.EQUAL),
                ],
                condition=~Q(state="cancelled"),
            ),
        ]
        indexes = [models.Index(fields=["state", "ends_at"])]
        ordering = [F("starts_at").desc()]

    def __str__(self) -> str:
        return f"{self.direction} {self.target_kw:g} kW {self.starts_at:%Y-%m-%d %H:%M}"
