"""Firmware that the platform keeps and hands out itself, to chargers that take it over MQTT."""

from django.db import models
from django.db.models import F, Q


class FirmwareImage(models.Model):
    """One signed image for one make and model; `signature` proves it by the maker's `public_key` (Ed25519, base 64)."""

    vendor = models.CharField(max_length=50)
    model = models.CharField(max_length=50)
    version = models.CharField(max_length=50)
    size_bytes = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    signature = models.CharField(max_length=88)
    public_key = models.CharField(max_length=44)
    url = models.CharField(max_length=512, blank=True, help_text="where devices fetch it; empty: in chunks over MQTT")
    content = models.BinaryField()
    stored_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["vendor", "model", "version"], name="firmware_image_unique"),
            models.CheckConstraint(condition=Q(size_bytes__gt=0), name="firmware_image_not_empty"),
        ]
        ordering = [F("stored_at").desc()]

    def __str__(self) -> str:
        return f"{self.vendor} {self.model} {self.version}"
