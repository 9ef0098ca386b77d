"""When devices did not do what they were told: the record by which the console and an audit see it."""

from django.db import models
from django.db.models import F, Q


class DepartureSource(models.TextChoices):
    METER = "meter", "Its meter"
    COMPOSITE = "composite", "Its own schedule"


class Departure(models.Model):
    """A stretch of time in which an asset departed from its schedule. Powers in kW, + into the asset."""

    asset = models.ForeignKey("fleet.Asset", on_delete=models.CASCADE, related_name="departures")
    source = models.CharField(max_length=10, choices=DepartureSource)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    told_kw = models.FloatField()
    found_kw = models.FloatField()

    class Meta:
        ordering = [F("began_at").desc()]
        constraints = [
            models.UniqueConstraint(fields=["asset"], condition=Q(ended_at__isnull=True), name="departure_one_open")
        ]

    def __str__(self) -> str:
        return f"{self.asset_id} {self.told_kw} {self.found_kw}"
