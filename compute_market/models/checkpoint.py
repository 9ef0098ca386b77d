"""Checkpoints: the state of a job between two steps, from which any computer can go on."""

from django.db import models
from django.db.models import F, Q


class Checkpoint(models.Model):
    """One image of a job's memory (format: docs/compute-abi.md). A trigger refuses one under a stale lease."""

    job = models.ForeignKey("compute_market.Job", on_delete=models.CASCADE, related_name="checkpoints")
    lease = models.ForeignKey("compute_market.Lease", on_delete=models.PROTECT, related_name="checkpoints")
    sequence = models.PositiveIntegerField(help_text="counts up over all leases of the job")
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveIntegerField()
    progress_fraction = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "sequence"], name="checkpoint_sequence_unique"),
            models.CheckConstraint(condition=Q(sequence__gte=1) & Q(size_bytes__gt=0), name="checkpoint_valid"),
        ]
        ordering = [F("sequence").desc()]

    def __str__(self) -> str:
        return f"job {self.job_id} checkpoint {self.sequence}"
