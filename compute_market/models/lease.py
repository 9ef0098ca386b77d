"""Leases: one computer holds one job until an instant, under a token that no later holder shares."""

from django.db import models
from django.db.models import F, Q


class LeaseState(models.TextChoices):
    LIVE = "live", "Live"
    COMPLETED = "completed", "Completed"
    GIVEN_BACK = "given_back", "Given back"
    EXPIRED = "expired", "Agent lost"
    REVOKED = "revoked", "Revoked"


class LeaseEnd(models.TextChoices):
    """Why a lease ended, in a word that pages translate."""

    COMPLETED = "completed", "The job was finished"
    DEPARTURE = "departure", "The car is leaving"
    UNPLUGGED = "unplugged", "The car was unplugged"
    LOW_BATTERY = "low_battery", "The battery fell below the owner's minimum"
    CONSENT_WITHDRAWN = "consent_withdrawn", "The owner withdrew consent"
    EMERGENCY = "emergency", "The site is in an emergency"
    OWNER = "owner", "The owner wants the computer"
    AGENT_STOPPED = "agent_stopped", "The agent was stopped"
    AGENT_LOST = "agent_lost", "Nothing was heard from the agent"
    CANCELLED = "cancelled", "The tenant cancelled the job"
    DEADLINE = "deadline", "The deadline passed"
    CPU_LIMIT = "cpu_limit", "The job used up its CPU time"
    PROGRAM_FAULT = "program_fault", "The program broke its rules"
    COMPUTER_FAULT = "computer_fault", "The computer could not run it"


class Lease(models.Model):
    """One stretch of a job on a computer. Price and shares are frozen at the grant."""

    job = models.ForeignKey("compute_market.Job", on_delete=models.PROTECT, related_name="leases")
    computer = models.ForeignKey("fleet.OnboardComputer", on_delete=models.PROTECT, related_name="leases")
    offer = models.ForeignKey("compute_market.Offer", on_delete=models.PROTECT, related_name="leases")
    fencing_token = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=LeaseState, default=LeaseState.LIVE)
    granted_at = models.DateTimeField()
    renewed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=20, choices=LeaseEnd, blank=True)
    end_detail = models.CharField(max_length=300, blank=True)
    currency = models.CharField(max_length=3)
    price_per_cpu_hour = models.DecimalField(max_digits=12, decimal_places=6)
    platform_share_fraction = models.DecimalField(max_digits=5, decimal_places=4)
    power_kw_per_core = models.FloatField(help_text="drawn beyond standing idle while one core computes")
    cpu_cores = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job"], condition=Q(state="live"), name="lease_one_live_per_job"),
            models.UniqueConstraint(fields=["computer"], condition=Q(state="live"), name="lease_one_live_per_computer"),
            models.UniqueConstraint(fields=["job", "fencing_token"], name="lease_fence_unique"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("granted_at")), name="lease_expires_after_grant"),
            models.CheckConstraint(
                condition=Q(state="live", ended_at__isnull=True, end_reason="")
                | (~Q(state="live") & Q(ended_at__isnull=False) & ~Q(end_reason="")),
                name="lease_ended_with_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(price_per_cpu_hour__gte=0) & Q(platform_share_fraction__range=(0, 1)),
                name="lease_price_valid",
            ),
        ]
        indexes = [models.Index(fields=["expires_at"], condition=Q(state="live"), name="lease_live")]
        ordering = [F("id").desc()]

    def __str__(self) -> str:
        return f"job {self.job_id} on {self.computer_id} #{self.fencing_token}"
