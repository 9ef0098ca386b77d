"""Prices of energy and emission factors, with their slot length: hourly is never assumed."""

from django.db import models
from django.db.models import F, Q


class PriceSeries(models.Model):
    """One price curve: a day-ahead zone, a tariff."""

    code = models.CharField(max_length=60, unique=True)
    region = models.ForeignKey("fleet.Region", on_delete=models.PROTECT, related_name="price_series")
    currency = models.CharField(max_length=3)
    source = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.code


class PricePoint(models.Model):
    """The price of import and export from `starts_at` to `ends_at`."""

    series = models.ForeignKey(PriceSeries, on_delete=models.CASCADE, related_name="points")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    price_per_kwh = models.DecimalField(max_digits=12, decimal_places=6)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "starts_at"], name="price_once_per_slot"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="price_slot_ends_after_start"),
        ]
        ordering = [F("starts_at").asc()]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M} {self.price_per_kwh}"


class FactorKind(models.TextChoices):
    AVERAGE = "average", "Average: for inventories"
    MARGINAL = "marginal", "Marginal: for decisions"


class EmissionFactorSeries(models.Model):
    """One curve of emission factors. Average and marginal factors are never added together."""

    code = models.CharField(max_length=60, unique=True)
    region = models.ForeignKey("fleet.Region", on_delete=models.PROTECT, related_name="factor_series")
    kind = models.CharField(max_length=10, choices=FactorKind)
    source = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.code


class EmissionFactor(models.Model):
    """kg CO2 per kWh from `starts_at` to `ends_at`."""

    series = models.ForeignKey(EmissionFactorSeries, on_delete=models.CASCADE, related_name="points")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    kg_per_kwh = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "starts_at"], name="factor_once_per_slot"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="factor_slot_ends_after_start"),
        ]
        ordering = [F("starts_at").asc()]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M} {self.kg_per_kwh}"
