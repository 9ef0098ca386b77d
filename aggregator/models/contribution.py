"""The books of fairness: what each owner offered and was called for, lately."""

from django.db import models
from django.db.models import F, Q


class OwnerContribution(models.Model):
    """One owner in one region over the time until `as_of`; replaced as time goes on. Energies are never negative."""

    region = models.ForeignKey("fleet.Region", on_delete=models.PROTECT, related_name="contributions")
    owner_id = models.BigIntegerField()
    as_of = models.DateTimeField()
    offered_h = models.FloatField()
    offered_kwh = models.FloatField(help_text="range of power times hours on offer")
    delivered_kwh = models.FloatField(help_text="what settlements credit the owner with")
    events = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["region", "owner_id"], name="contribution_once_per_owner"),
            models.CheckConstraint(
                condition=Q(offered_h__gte=0) & Q(offered_kwh__gte=0) & Q(delivered_kwh__gte=0),
                name="contribution_not_negative",
            ),
        ]
        ordering = [F("owner_id").asc()]

    def __str__(self) -> str:
        return f"owner {self.owner_id} {self.as_of:%Y-%m-%d}"
