"""The chain over the books: each booking sealed with the one before, and what verifying them found."""

from django.db import models
from django.db.models import F


class LedgerSeal(models.Model):
    """The seal of one booking, set by the database at commit: SHA-256 over the seal before and all of the booking."""

    position = models.BigIntegerField(primary_key=True)
    transaction = models.OneToOneField("aggregator.LedgerTransaction", on_delete=models.PROTECT, related_name="seal")
    previous_sha256 = models.CharField(max_length=64)
    sha256 = models.CharField(max_length=64)

    class Meta:
        ordering = [F("position").asc()]

    def __str__(self) -> str:
        return f"{self.position} {self.sha256[:16]}"


class LedgerVerification(models.Model):
    """One look at the whole chain. Its head is what the next look, and whoever wrote it down, can hold the books to."""

    at = models.DateTimeField()
    length = models.BigIntegerField()
    head_sha256 = models.CharField(max_length=64)
    faults = models.JSONField(default=list)

    class Meta:
        ordering = [F("at").desc()]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.length}"
