"""Work slices: CPU time that an agent reported, what it costs, and whether it counts."""

from django.db import models
from django.db.models import F, Q


class WorkSlice(models.Model):
    """One report of work under a lease.

    Money follows what is kept: a slice is `secured_at` when a checkpoint or the result holds its work, and only then
    is it due. Work that a lost agent took with it is never secured: its slices are `voided_at`, nobody pays for them,
    and the same work done again elsewhere is paid once.
    """

    lease = models.ForeignKey("compute_market.Lease", on_delete=models.PROTECT, related_name="slices")
    sequence = models.PositiveIntegerField()
    cpu_s = models.DecimalField(
        max_digits=14, decimal_places=6, help_text="what is charged: never beyond the job's limit"
    )
    reported_cpu_s = models.DecimalField(max_digits=14, decimal_places=6, help_text="what the agent measured")
    energy_kwh = models.FloatField()
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(max_digits=16, decimal_places=6, help_text="what the tenant pays")
    owner_amount = models.DecimalField(max_digits=16, decimal_places=6)
    platform_amount = models.DecimalField(max_digits=16, decimal_places=6)
    progress_fraction = models.FloatField(null=True, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    secured_at = models.DateTimeField(null=True, blank=True)
    voided_at = models.DateTimeField(null=True, blank=True)
    booked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["lease", "sequence"], name="work_slice_unique"),
            models.CheckConstraint(
                condition=Q(amount=F("owner_amount") + F("platform_amount")), name="work_slice_shares_add_up"
            ),
            models.CheckConstraint(
                condition=Q(amount__gte=0) & Q(owner_amount__gte=0) & Q(platform_amount__gte=0),
                name="work_slice_amounts_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(cpu_s__gte=0) & Q(cpu_s__lte=F("reported_cpu_s")) & Q(energy_kwh__gte=0),
                name="work_slice_not_negative",
            ),
            models.CheckConstraint(condition=Q(ended_at__gte=F("started_at")), name="work_slice_ends_after_start"),
            models.CheckConstraint(
                condition=Q(secured_at__isnull=True) | Q(voided_at__isnull=True), name="work_slice_secured_or_void"
            ),
            models.CheckConstraint(
                condition=Q(booked_at__isnull=True) | Q(secured_at__isnull=False), name="work_slice_booked_if_secured"
            ),
        ]
        indexes = [
            models.Index(
                fields=["id"],
                condition=Q(secured_at__isnull=False, booked_at__isnull=True, amount__gt=0),
                name="work_slice_unbooked",
            )
        ]
        ordering = [F("id").asc()]

    def __str__(self) -> str:
        return f"lease {self.lease_id} slice {self.sequence}"
