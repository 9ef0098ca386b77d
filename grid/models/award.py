"""Awards: power that was sold to a market, what the market then ordered, and how that was settled."""

from django.db import models
from django.db.models import F, Q


class AwardState(models.TextChoices):
    AWARDED = "awarded", "Awarded"
    CANCELLED = "cancelled", "Cancelled"
    SETTLED = "settled", "Settled"


class MarketAward(models.Model):
    """Power sold under one product for a time. Prices are in `currency`; up is what the grid gets more.

    `participants` maps asset identifiers to the kW that each stands for. `planned_kw` is the portfolio's nominated
    schedule, one value per slot, positive into the assets; empty: the meter before the award stands for it.
    `available_kw` is what was available in each slot; empty: the contracted power.
    """

    product = models.ForeignKey("grid.MarketProduct", on_delete=models.PROTECT, related_name="awards")
    region = models.ForeignKey("fleet.Region", on_delete=models.PROTECT, related_name="awards")
    requested_by = models.CharField(max_length=120, help_text="client identifier of the grid operator or market")
    reference = models.CharField(max_length=120, help_text="the market's own reference of this award")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    up_kw = models.FloatField(default=0)
    down_kw = models.FloatField(default=0)
    capacity_price = models.DecimalField(max_digits=12, decimal_places=4, help_text="per kW and slot")
    up_energy_price_per_kwh = models.DecimalField(max_digits=12, decimal_places=4, default=0)
    down_energy_price_per_kwh = models.DecimalField(max_digits=12, decimal_places=4, default=0)
    imbalance_price_per_kwh = models.DecimalField(max_digits=12, decimal_places=4, default=0)
    owner_share_fraction = models.DecimalField(max_digits=5, decimal_places=4, default="0.8")
    currency = models.CharField(max_length=3)
    baseline_window_s = models.PositiveIntegerField(default=900)
    state = models.CharField(max_length=10, choices=AwardState, default=AwardState.AWARDED)
    recorded_at = models.DateTimeField()
    participants = models.JSONField(default=dict, blank=True)
    planned_kw = models.JSONField(default=list, blank=True)
    available_kw = models.JSONField(default=list, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["requested_by", "reference"], name="award_once"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="award_ends_after_start"),
            models.CheckConstraint(
                condition=Q(up_kw__gte=0) & Q(down_kw__gte=0) & (Q(up_kw__gt=0) | Q(down_kw__gt=0)), name="award_power"
            ),
        ]
        indexes = [models.Index(fields=["state", "ends_at"])]
        ordering = [F("starts_at").desc()]

    def __str__(self) -> str:
        return f"{self.reference} {self.starts_at:%Y-%m-%d %H:%M}"


class AwardSignal(models.Model):
    """What a market said at an instant; it holds until the next one. What it did not say is null."""

    award = models.ForeignKey(MarketAward, on_delete=models.CASCADE, related_name="signals")
    at = models.DateTimeField()
    ordered_up_kw = models.FloatField(null=True, help_text="positive: the grid gets more; negative: less")
    frequency_hz = models.FloatField(null=True)
    limit_kw = models.FloatField(null=True, help_text="most that the portfolio may import")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["award", "at"], name="award_signal_once"),
            models.CheckConstraint(
                condition=Q(ordered_up_kw__isnull=False) | Q(frequency_hz__isnull=False) | Q(limit_kw__isnull=False),
                name="award_signal_says_something",
            ),
        ]
        ordering = [F("at").asc()]

    def __str__(self) -> str:
        return f"{self.award_id} {self.at:%H:%M:%S}"


class AwardSettlement(models.Model):
    """One revision of an award's settlement; late readings that change a number make a further one."""

    award = models.ForeignKey(MarketAward, on_delete=models.PROTECT, related_name="settlements")
    revision = models.PositiveSmallIntegerField()
    settled_at = models.DateTimeField()
    rule_version = models.CharField(max_length=40)
    evidence_sha256 = models.CharField(max_length=64)
    compliant_fraction = models.FloatField()
    up_kwh = models.DecimalField(max_digits=16, decimal_places=6)
    down_kwh = models.DecimalField(max_digits=16, decimal_places=6)
    imbalance_kwh = models.DecimalField(max_digits=16, decimal_places=6)
    capacity_payment = models.DecimalField(max_digits=16, decimal_places=4)
    energy_payment = models.DecimalField(max_digits=16, decimal_places=4)
    imbalance_payment = models.DecimalField(max_digits=16, decimal_places=4)
    penalty = models.DecimalField(max_digits=16, decimal_places=4)
    payment = models.DecimalField(max_digits=16, decimal_places=4)
    avoided_co2_kg = models.DecimalField(max_digits=16, decimal_places=6)
    currency = models.CharField(max_length=3)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["award", "revision"], name="award_settlement_revision")]
        ordering = [F("settled_at").desc()]

    def __str__(self) -> str:
        return f"award {self.award_id} r{self.revision}"


class AwardSettlementSlot(models.Model):
    """One market slot. Powers are means over it; baseline and meter signed as at the meter, up as markets count."""

    settlement = models.ForeignKey(AwardSettlement, on_delete=models.CASCADE, related_name="slots")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    baseline_kw = models.FloatField()
    metered_kw = models.FloatField()
    ordered_up_kw = models.FloatField()
    delivered_up_kw = models.FloatField()
    short_kw = models.FloatField()
    compliant_fraction = models.FloatField()
    up_kwh = models.DecimalField(max_digits=16, decimal_places=6)
    down_kwh = models.DecimalField(max_digits=16, decimal_places=6)
    imbalance_kwh = models.DecimalField(max_digits=16, decimal_places=6)
    capacity_payment = models.DecimalField(max_digits=16, decimal_places=4)
    energy_payment = models.DecimalField(max_digits=16, decimal_places=4)
    imbalance_payment = models.DecimalField(max_digits=16, decimal_places=4)
    penalty = models.DecimalField(max_digits=16, decimal_places=4)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["settlement", "starts_at"], name="award_slot_unique")]
        ordering = [F("starts_at").asc()]

    def __str__(self) -> str:
        return f"{self.settlement_id} {self.starts_at:%H:%M}"


class AwardShare(models.Model):
    """What one asset contributed to an award, and what its owner gets for it; no owner: the platform's own."""

    settlement = models.ForeignKey(AwardSettlement, on_delete=models.CASCADE, related_name="shares")
    asset_id = models.BigIntegerField()
    owner_id = models.BigIntegerField(null=True, blank=True)
    committed_kw = models.FloatField()
    delivered_kwh = models.DecimalField(max_digits=16, decimal_places=6)
    payment = models.DecimalField(max_digits=16, decimal_places=4)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["settlement", "asset_id"], name="award_share_unique")]

    def __str__(self) -> str:
        return f"{self.settlement_id} asset {self.asset_id}"
