"""Settlements: what an event delivered, step by step, what it earned, and whose it is."""

from django.db import models
from django.db.models import F


class Settlement(models.Model):
    """The settlement of one event. Settling again from the same readings gives the same numbers; if late readings
    change them, a further revision is added and the books get the difference."""

    event = models.ForeignKey("grid.GridEvent", on_delete=models.PROTECT, related_name="settlements")
    revision = models.PositiveSmallIntegerField(default=1)
    settled_at = models.DateTimeField()
    rule_version = models.CharField(max_length=40)
    baseline_method = models.CharField(max_length=20)
    # hash of the readings that it was computed from, so that a rerun can prove it saw the same
    evidence_sha256 = models.CharField(max_length=64)
    delivered_kwh = models.DecimalField(max_digits=16, decimal_places=6)
    target_kwh = models.DecimalField(max_digits=16, decimal_places=6)
    missed_kwh = models.DecimalField(max_digits=16, decimal_places=6)
    energy_payment = models.DecimalField(max_digits=16, decimal_places=4)
    capacity_payment = models.DecimalField(max_digits=16, decimal_places=4)
    penalty = models.DecimalField(max_digits=16, decimal_places=4)
    payment = models.DecimalField(max_digits=16, decimal_places=4, help_text="energy plus capacity less penalty")
    avoided_co2_kg = models.DecimalField(max_digits=16, decimal_places=6, default=0)
    currency = models.CharField(max_length=3)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "revision"], name="settlement_revision_unique")]
        ordering = [F("settled_at").desc()]

    def __str__(self) -> str:
        return f"{self.event_id} r{self.revision}"


class SettlementStep(models.Model):
    """One slot of a settlement. Powers are means over the slot, signed as at the meter; delivered is never signed by
    direction: positive is what the programme asked for."""

    settlement = models.ForeignKey(Settlement, on_delete=models.CASCADE, related_name="steps")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    in_ramp = models.BooleanField()
    baseline_kw = models.FloatField()
    metered_kw = models.FloatField()
    delivered_kw = models.FloatField()
    target_kw = models.FloatField()
    delivered_kwh = models.DecimalField(max_digits=16, decimal_places=6)
    payment = models.DecimalField(max_digits=16, decimal_places=4)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["settlement", "starts_at"], name="settlement_step_unique")]
        ordering = [F("starts_at").asc()]

    def __str__(self) -> str:
        return f"{self.settlement_id} {self.starts_at:%H:%M:%S}"


class SettlementShare(models.Model):
    """What one asset contributed, and what its owner gets for it."""

    settlement = models.ForeignKey(Settlement, on_delete=models.CASCADE, related_name="shares")
    asset_id = models.BigIntegerField()
    owner_id = models.BigIntegerField(null=True, blank=True, help_text="none: the platform's own")
    baseline_kwh = models.FloatField()
    metered_kwh = models.FloatField()
    delivered_kwh = models.DecimalField(max_digits=16, decimal_places=6)
    payment = models.DecimalField(max_digits=16, decimal_places=4)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["settlement", "asset_id"], name="settlement_share_unique")]

    def __str__(self) -> str:
        return f"{self.settlement_id} asset {self.asset_id}"
