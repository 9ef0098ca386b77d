"""Certificates of charging stations: what they asked for, what they were given, and which still let them in."""

from django.db import models
from django.db.models import F, Q


class CertificateUse(models.TextChoices):
    """CertificateSigningUseEnumType of OCPP 2.0.1; 1.6 knows the first alone."""

    CHARGING_STATION = "ChargingStationCertificate", "Log-in of the station"
    V2G = "V2GCertificate", "ISO 15118 towards cars"


class CertificateState(models.TextChoices):
    REQUESTED = "requested", "Requested by the station"
    ISSUED = "issued", "Issued"
    INSTALLED = "installed", "Taken by the station"
    REFUSED = "refused", "Refused"
    REVOKED = "revoked", "Revoked"


class StationCertificate(models.Model):
    """One request for a certificate and what became of it. A station is let in with those that are issued or installed.

    `fingerprint` is the SHA-256 of the certificate's DER form in hexadecimal, by which a connection is recognised.
    """

    charger = models.ForeignKey("fleet.Charger", on_delete=models.CASCADE, related_name="certificates")
    use = models.CharField(max_length=30, choices=CertificateUse, default=CertificateUse.CHARGING_STATION)
    state = models.CharField(max_length=10, choices=CertificateState)
    reason = models.CharField(max_length=200, blank=True, help_text="why it was refused or revoked")
    request_pem = models.TextField(blank=True)
    request_digest = models.CharField(max_length=64, blank=True)
    certificate_pem = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    serial_number = models.CharField(max_length=40, blank=True, help_text="hexadecimal")
    requested_at = models.DateTimeField()
    issued_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = [F("requested_at").desc()]
        constraints = [
            models.UniqueConstraint(
                fields=["charger", "request_digest"], condition=Q(state="requested"), name="certificate_asked_once"
            ),
            models.UniqueConstraint(
                fields=["fingerprint"], condition=~Q(fingerprint=""), name="certificate_fingerprint_unique"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["issued", "installed"]) | Q(expires_at__isnull=False),
                name="certificate_issued_expires",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.charger_id} {self.use} {self.state}"
