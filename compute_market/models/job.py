"""Jobs: what a tenant wants computed, within which limits, at which price."""

from django.db import models
from django.db.models import F, Q


class JobState(models.TextChoices):
    QUEUED = "queued", "Waiting for a computer"
    LEASED = "leased", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    MISSED = "missed", "Deadline passed"


OPEN_JOB_STATES = (JobState.QUEUED, JobState.LEASED)


class LatencyClass(models.TextChoices):
    INTERACTIVE = "interactive", "Somebody is waiting"
    BATCH = "batch", "Whenever it fits"


class Job(models.Model):
    """One run of a program on one input.

    `fence` counts the leases that were granted for the job: only the lease that holds the highest token may write.
    `cpu_limit_s` bounds the CPU time that the tenant pays for; with `price_cap_per_cpu_hour` it bounds the cost.
    """

    tenant = models.CharField(max_length=120, help_text="client identifier of the tenant")
    idempotency_key = models.CharField(max_length=120, help_text="the tenant's own key of this request")
    request_sha256 = models.CharField(max_length=64, help_text="of everything asked for, to tell a repeat from a reuse")
    label = models.CharField(max_length=120, blank=True)
    program = models.ForeignKey("compute_market.Program", on_delete=models.PROTECT, related_name="jobs")
    input = models.BinaryField()
    memory_limit_mib = models.PositiveIntegerField()
    cpu_limit_s = models.PositiveIntegerField()
    currency = models.CharField(max_length=3, help_text="ISO 4217; computers of regions with this currency compete")
    price_cap_per_cpu_hour = models.DecimalField(max_digits=12, decimal_places=6)
    deadline_at = models.DateTimeField(null=True, blank=True)
    latency_class = models.CharField(max_length=12, choices=LatencyClass, default=LatencyClass.BATCH)
    state = models.CharField(max_length=10, choices=JobState, default=JobState.QUEUED)
    failure_reason = models.CharField(max_length=300, blank=True)
    failed_attempts = models.PositiveSmallIntegerField(default=0, help_text="leases that ended by the job's own fault")
    fence = models.BigIntegerField(default=0)
    progress_fraction = models.FloatField(null=True, blank=True)
    submitted_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "idempotency_key"], name="job_idempotent"),
            models.CheckConstraint(
                condition=Q(memory_limit_mib__gt=0) & Q(cpu_limit_s__gt=0) & Q(price_cap_per_cpu_hour__gt=0),
                name="job_limits_positive",
            ),
            models.CheckConstraint(
                condition=Q(progress_fraction__isnull=True) | Q(progress_fraction__range=(0, 1)),
                name="job_progress_is_fraction",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "leased"], finished_at__isnull=True)
                | Q(state__in=["completed", "failed", "cancelled", "missed"], finished_at__isnull=False),
                name="job_finished_when_closed",
            ),
            models.CheckConstraint(condition=Q(fence__gte=0), name="job_fence_not_negative"),
        ]
        indexes = [
            models.Index(fields=["submitted_at"], condition=Q(state="queued"), name="job_queued"),
            models.Index(fields=["tenant", "-id"], name="job_of_tenant"),
        ]
        ordering = [F("id").desc()]

    def __str__(self) -> str:
        return self.label or f"job {self.pk}"
