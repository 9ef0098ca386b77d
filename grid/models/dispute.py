"""Disputes: somebody doubts a settlement. What it was computed from is frozen with the dispute, and stays."""

from django.db import models
from django.db.models import F, Q


class DisputeState(models.TextChoices):
    OPEN = "open", "Open"
    UPHELD = "upheld", "Upheld"
    REJECTED = "rejected", "Rejected"


class SettlementDispute(models.Model):
    """One doubt about one revision. `evidence` is gzip of JSON lines: the document, then each asset's baseline, meter
    and readings as they were when the dispute was opened. The database refuses to change or delete it."""

    event = models.ForeignKey("grid.GridEvent", on_delete=models.PROTECT, related_name="disputes")
    revision = models.PositiveSmallIntegerField()
    raised_by = models.CharField(max_length=120, help_text="client, owner identity or operator's login")
    idempotency_key = models.CharField(max_length=120)
    reason = models.CharField(max_length=1000)
    raised_at = models.DateTimeField()
    evidence = models.BinaryField()
    evidence_sha256 = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=DisputeState, default=DisputeState.OPEN)
    resolution = models.CharField(max_length=1000, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=254, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["raised_by", "idempotency_key"], name="dispute_once"),
            models.CheckConstraint(
                condition=Q(state="open") | (Q(resolved_at__isnull=False) & ~Q(resolution="")),
                name="dispute_resolved_with_reason",
            ),
        ]
        ordering = [F("raised_at").desc()]

    def __str__(self) -> str:
        return f"event {self.event_id} r{self.revision} by {self.raised_by}"
