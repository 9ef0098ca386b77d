"""What the tracking loop saw: target, baseline and delivery, every few seconds of an event."""

from django.db import models
from django.db.models import F


class DeliverySample(models.Model):
    """One look at an event's participants. `delivered_kw` is positive in the direction asked for."""

    grid_event_id = models.BigIntegerField()
    at = models.DateTimeField()
    target_kw = models.FloatField()
    baseline_kw = models.FloatField()
    measured_kw = models.FloatField()
    delivered_kw = models.FloatField()
    corrected_assets = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["grid_event_id", "at"], name="delivery_sample_unique")]
        ordering = [F("at").asc()]

    def __str__(self) -> str:
        return f"{self.grid_event_id} {self.at:%H:%M:%S}"
