"""Forecasts as they were made, and what came: so that an error is measured and not claimed."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class DepartureForecast(models.Model):
    """When a plugged-in car would leave, as known at `made_at`; a changed wish makes a further row.

    The driver's need is planned for `leaves_after`, which a car that stays until `served_at` outstays with the
    probability. `left_at` is filled in when the stay has ended.
    """

    region = models.ForeignKey("fleet.Region", on_delete=models.PROTECT, related_name="departure_forecasts")
    session_id = models.BigIntegerField()
    vehicle_id = models.BigIntegerField()
    site_id = models.BigIntegerField()
    made_at = models.DateTimeField()
    arrived_at = models.DateTimeField()
    stated_at = models.DateTimeField(null=True, blank=True, help_text="what the driver said; null if nothing")
    expected_at = models.DateTimeField(null=True, blank=True, help_text="median")
    served_at = models.DateTimeField(null=True, blank=True, help_text="when charging at once would have met the need")
    leaves_after = models.DateTimeField(null=True, blank=True, help_text="still there until then with the probability")
    probability = models.FloatField(null=True, blank=True, help_text="null on the driver's word alone")
    quantiles_at = ArrayField(models.DateTimeField(), default=list, help_text="at 5, 10, …, 95 %")
    basis = models.CharField(max_length=10, help_text="own, site, region or stated: whose stays it was learnt from")
    samples = models.PositiveIntegerField(default=0)
    left_at = models.DateTimeField(null=True, blank=True)
    left_known = models.BooleanField(
        default=True, help_text="no: the station never told; left_at is the latest possible"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["session_id", "made_at"], name="departure_forecast_unique"),
            models.CheckConstraint(
                condition=Q(leaves_after__isnull=True)
                | Q(stated_at__isnull=True)
                | Q(leaves_after__lte=F("stated_at")),
                name="departure_forecast_not_after_stated",
            ),
        ]
        indexes = [
            models.Index(fields=["region", "left_at"]),
            models.Index(fields=["session_id"], condition=Q(left_at__isnull=True), name="departure_forecast_open"),
        ]
        ordering = [F("made_at").desc()]

    def __str__(self) -> str:
        return f"session {self.session_id} {self.made_at:%Y-%m-%d %H:%M}"


class PresenceResiduals(models.Model):
    """How far sums of cars that were still there fell from what was foreseen so many hours ahead; replaced as time goes on.

    One residual for each past instant: (cars there − expected) / standard deviation of independent presences.
    """

    region = models.ForeignKey("fleet.Region", on_delete=models.CASCADE, related_name="presence_residuals")
    ahead_h = models.FloatField()
    as_of = models.DateTimeField()
    residuals = ArrayField(models.FloatField())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["region", "ahead_h"], name="presence_residuals_unique")]

    def __str__(self) -> str:
        return f"{self.ahead_h:g} h ahead, {self.as_of:%Y-%m-%d}"
