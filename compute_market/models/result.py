"""Results: what a job put out, once."""

from django.db import models


class Result(models.Model):
    """The output of a completed job, with its hash and the computer that made it."""

    job = models.OneToOneField("compute_market.Job", on_delete=models.PROTECT, related_name="result")
    lease = models.OneToOneField("compute_market.Lease", on_delete=models.PROTECT, related_name="result")
    computer = models.ForeignKey("fleet.OnboardComputer", on_delete=models.PROTECT, related_name="results")
    output = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveIntegerField()
    completed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"result of job {self.job_id}"
