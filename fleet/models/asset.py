"""The asset: one metered point that may be controlled. Readings, commands and plans all speak of assets."""

from django.db import models
from django.db.models import F


class AssetKind(models.TextChoices):
    EVSE = "evse", "EVSE"
    PACK = "pack", "Second-life pack"
    METER = "meter", "Meter"


class Asset(models.Model):
    """What carries an EVSE, a pack or a meter: the identity under which it is read, planned, commanded and paid.

    `setpoint_kw` is what the platform last wants of it and `connected` whether its device is reachable: the gateways
    and `fleet.operations` keep them true.
    """

    identity = models.CharField(max_length=80, unique=True, help_text="such as CP-0412/1 or PACK-017")
    kind = models.CharField(max_length=10, choices=AssetKind)
    site = models.ForeignKey("fleet.Site", on_delete=models.PROTECT, related_name="assets")
    connected = models.BooleanField(default=False)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    fault = models.CharField(max_length=200, blank=True, help_text="why it can take no part; empty if it can")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = [F("identity").asc()]
        indexes = [models.Index(fields=["site", "kind"])]

    def __str__(self) -> str:
        return self.identity
