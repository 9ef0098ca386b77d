"""What stations measure besides the fields of a reading, and what meters have signed."""

from django.db import models
from django.db.models import F


class LatestMeasurand(models.Model):
    """The last value of a measurand that readings have no field for, in the words and units of OCPP."""

    asset = models.ForeignKey("fleet.Asset", on_delete=models.CASCADE, related_name="measurands")
    measurand = models.CharField(max_length=50)
    phase = models.CharField(max_length=6, blank=True)
    location = models.CharField(max_length=10, blank=True)
    value = models.FloatField()
    unit = models.CharField(max_length=20, blank=True)
    measured_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["asset", "measurand", "phase", "location"], name="latest_measurand_unique")
        ]

    def __str__(self) -> str:
        return f"{self.asset_id} {self.measurand} {self.value}"


class SignedMeterValue(models.Model):
    """A value that a meter has signed, exactly as it came: evidence for a driver's bill. Told twice, it is kept once."""

    asset = models.ForeignKey("fleet.Asset", on_delete=models.PROTECT, related_name="signed_values")
    transaction_id = models.CharField(max_length=64, blank=True)
    measured_at = models.DateTimeField()
    context = models.CharField(max_length=30, blank=True)
    measurand = models.CharField(max_length=50)
    signed_data = models.TextField()
    signing_method = models.CharField(max_length=50, blank=True)
    encoding_method = models.CharField(max_length=50, blank=True)
    public_key = models.TextField(blank=True)

    class Meta:
        ordering = [F("measured_at").asc()]
        constraints = [
            models.UniqueConstraint(
                fields=["asset", "measured_at", "context", "measurand"], name="signed_meter_value_once"
            )
        ]
        indexes = [models.Index(fields=["transaction_id"])]

    def __str__(self) -> str:
        return f"{self.asset_id} {self.measured_at} {self.measurand}"
