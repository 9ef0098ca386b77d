"""How baselines are computed, as dated rows: which days, which windows, which adjustment."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class BaselineMethod(models.TextChoices):
    METER_BEFORE = "meter_before", "Mean of the meter just before the event"
    METER_BEFORE_AFTER = "meter_before_after", "Mean of the meter before and after the event"
    SAME_DAY_3_PLUS_2 = "same_day_3_plus_2", "Three hours before and two after, an hour away from the event"
    HIGH_4_OF_5 = "high_4_of_5", "High 4 of 5 with day-of adjustment"
    HIGH_5_OF_10 = "high_5_of_10", "High 5 of 10 with capped adjustment"
    TEN_OF_TEN = "ten_of_ten", "10 of 10 with capped adjustment"
    DEVICE_METERED = "device_metered", "The device's own meter on like days, not adjusted"
    NOMINATED = "nominated", "Schedule nominated before the event"


class BaselineKind(models.TextChoices):
    SAME_DAY = "same_day", "Windows around the event"
    HISTORY = "history", "Earlier days"
    NOMINATED = "nominated", "A schedule given before"


class BaselineRule(models.Model):
    """The rule of one method from a date on. What a kind does not use is zero.

    Lengths are in seconds. Windows of the adjustment lie between `window_from_s` and `window_until_s` before the start.
    """

    code = models.CharField(max_length=20, choices=BaselineMethod)
    effective_from = models.DateTimeField()
    kind = models.CharField(max_length=10, choices=BaselineKind)
    uses_before = models.BooleanField(default=False)
    before_s = models.PositiveIntegerField(default=0, help_text="0: the programme's own window")
    before_gap_s = models.PositiveIntegerField(default=0, help_text="time between the window and the start")
    uses_after = models.BooleanField(default=False)
    after_s = models.PositiveIntegerField(default=0, help_text="0: the programme's own window")
    after_gap_s = models.PositiveIntegerField(default=0, help_text="time between the end and the window")
    days_looked_at = models.PositiveSmallIntegerField(default=0)
    days_kept = models.PositiveSmallIntegerField(default=0)
    rest_days_looked_at = models.PositiveSmallIntegerField(default=0, help_text="for events at weekends and holidays")
    rest_days_kept = models.PositiveSmallIntegerField(default=0, help_text="for events at weekends and holidays")
    look_back_days = models.PositiveSmallIntegerField(default=0)
    least_day_fraction = models.FloatField(default=0, help_text="days below this part of the mean are left out")
    adjustment = models.CharField(max_length=12, default="none", help_text="none, additive, capped_ratio")
    adjustment_cap_fraction = models.FloatField(default=0)
    window_from_s = models.PositiveIntegerField(default=0)
    window_until_s = models.PositiveIntegerField(default=0)
    window_slot_s = models.PositiveIntegerField(default=1800)
    source = models.CharField(max_length=300)
    unverified = ArrayField(
        models.CharField(max_length=40), default=list, blank=True, help_text="fields not confirmed by the primary text"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "effective_from"], name="baseline_rule_dated"),
            models.CheckConstraint(
                condition=~Q(kind="history")
                | (Q(days_kept__gt=0) & Q(days_kept__lte=F("days_looked_at")) & Q(rest_days_kept__gt=0)),
                name="baseline_rule_days",
            ),
            models.CheckConstraint(condition=Q(window_from_s__gte=F("window_until_s")), name="baseline_rule_window"),
            models.CheckConstraint(
                condition=Q(adjustment__in=["none", "additive", "capped_ratio"]), name="baseline_rule_adjustment"
            ),
        ]
        ordering = [F("code").asc(), F("effective_from").desc()]

    def __str__(self) -> str:
        return self.code


class BaselineCheck(models.Model):
    """What the time that an event's baseline was read from looked like beside other days, and what a person made of it.

    Powers are means over the window, signed as at the meter; `excess_kw` is positive in the direction that pays. A row
    without asset is the portfolio; single assets are kept where they were conspicuous.
    """

    event = models.ForeignKey("grid.GridEvent", on_delete=models.PROTECT, related_name="baseline_checks")
    asset_id = models.BigIntegerField(null=True, blank=True, help_text="none: all participants together")
    window_starts_at = models.DateTimeField()
    window_ends_at = models.DateTimeField()
    days = models.PositiveSmallIntegerField(help_text="earlier days that it was compared with")
    today_kw = models.FloatField(null=True)
    typical_kw = models.FloatField(null=True)
    spread_kw = models.FloatField(null=True, help_text="standard deviation of the earlier days")
    planned_kw = models.FloatField(null=True, help_text="none: the platform had no plan before the window")
    excess_kw = models.FloatField(null=True)
    conspicuous = models.BooleanField()
    checked_at = models.DateTimeField()
    reviewed_at = models.DateTimeField(null=True, blank=True)
    reviewed_by = models.CharField(max_length=254, blank=True)
    verdict = models.CharField(max_length=300, blank=True, help_text="what the person who looked at it found")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event", "asset_id"], name="baseline_check_once", nulls_distinct=False)
        ]
        indexes = [models.Index(fields=["conspicuous", "-checked_at"])]

    def __str__(self) -> str:
        return f"event {self.event_id} asset {self.asset_id or 'all'}"
