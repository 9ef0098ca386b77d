"""Programmes: what a grid operator buys, and on which terms."""

from django.db import models
from django.db.models import F, Q

from grid.models.baseline_rule import BaselineMethod


class Programme(models.Model):
    """A product with its terms. A change of terms is a new row: `effective_from` tells which holds."""

    code = models.CharField(max_length=60)
    name = models.CharField(max_length=160)
    region = models.ForeignKey("fleet.Region", on_delete=models.PROTECT, related_name="programmes")
    effective_from = models.DateTimeField()
    allows_reduction = models.BooleanField(default=True)
    allows_increase = models.BooleanField(default=False)
    min_kw = models.FloatField(default=0)
    max_kw = models.FloatField(help_text="most that one event may ask for")
    notice_s = models.PositiveIntegerField(help_text="least time between the request and the start")
    ramp_s = models.PositiveIntegerField(default=0, help_text="time from the start within which the target is reached")
    slot_s = models.PositiveIntegerField(help_text="length of a settlement slot")
    max_duration_s = models.PositiveIntegerField()
    energy_price_per_kwh = models.DecimalField(max_digits=12, decimal_places=4, help_text="paid per kWh delivered")
    capacity_price_per_kw = models.DecimalField(
        max_digits=12, decimal_places=4, default=0, help_text="paid per kW asked for and delivered, per event"
    )
    missed_price_per_kwh = models.DecimalField(
        max_digits=12, decimal_places=4, help_text="what a kWh promised and missed costs"
    )
    tolerance_fraction = models.FloatField(default=0.1, help_text="deviation that is neither paid nor punished")
    owner_share_fraction = models.DecimalField(max_digits=5, decimal_places=4, default="0.8")
    baseline_method = models.CharField(max_length=20, choices=BaselineMethod, default=BaselineMethod.METER_BEFORE)
    baseline_window_s = models.PositiveIntegerField(default=900, help_text="for meter_before: length of the window")
    currency = models.CharField(max_length=3)
    source = models.CharField(max_length=300, blank=True, help_text="where the terms were read, and how sure they are")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "effective_from"], name="programme_code_dated"),
            models.CheckConstraint(
                condition=Q(max_kw__gt=0) & Q(min_kw__gte=0) & Q(min_kw__lte=F("max_kw")), name="programme_power_range"
            ),
            models.CheckConstraint(
                condition=Q(slot_s__gt=0) & Q(max_duration_s__gte=F("slot_s")), name="programme_durations"
            ),
            models.CheckConstraint(
                condition=Q(owner_share_fraction__range=(0, 1)) & Q(tolerance_fraction__range=(0, 1)),
                name="programme_fractions",
            ),
        ]
        ordering = [F("code").asc(), F("effective_from").desc()]

    def __str__(self) -> str:
        return self.code
