"""Consent: what an owner allows, per service, from when to when. Never implied, never edited."""

from django.db import models
from django.db.models import F, Q


class ConsentService(models.TextChoices):
    FLEXIBILITY = "flexibility", "Flexibility for the grid"
    COMPUTING = "computing", "Renting out the computer"
    EMERGENCY = "emergency", "Use in an emergency"


class Consent(models.Model):
    """One consent for a vehicle, or for all packs of a site. Withdrawing ends the row; granting again makes a new one."""

    owner = models.ForeignKey("fleet.Owner", on_delete=models.PROTECT, related_name="consents")
    vehicle = models.ForeignKey(
        "fleet.Vehicle", on_delete=models.CASCADE, related_name="consents", null=True, blank=True
    )
    site = models.ForeignKey("fleet.Site", on_delete=models.CASCADE, related_name="consents", null=True, blank=True)
    service = models.CharField(max_length=12, choices=ConsentService)
    terms_version = models.CharField(max_length=20)
    granted_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(vehicle__isnull=False, site__isnull=True) | Q(vehicle__isnull=True, site__isnull=False),
                name="consent_for_one_thing",
            ),
            models.UniqueConstraint(
                fields=["vehicle", "service"], condition=Q(withdrawn_at__isnull=True), name="consent_once_per_vehicle"
            ),
            models.UniqueConstraint(
                fields=["site", "service"], condition=Q(withdrawn_at__isnull=True), name="consent_once_per_site"
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at__isnull=True) | Q(withdrawn_at__gte=F("granted_at")),
                name="consent_withdrawn_after_grant",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.granted_at:%Y-%m-%d}"
