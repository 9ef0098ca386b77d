"""Market products: what a market buys and how it judges whether it got it, as dated rows."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class Assessment(models.TextChoices):
    """How a market judges delivery; each is one function of `grid.core.compliance`."""

    DROOP = "droop", "Own frequency against a droop curve"
    FOLLOWING = "following", "Set-points followed within a band"
    SLOTS = "slots", "Ordered power held in every slot"
    CALL = "call", "Contracted power held whenever called"
    LIMIT = "limit", "A limit not exceeded"
    ENERGY = "energy", "Energy against a baseline"


class ProductDirection(models.TextChoices):
    UP = "up", "The grid gets more"
    DOWN = "down", "The grid gets less"
    BOTH = "both", "Either, as offered"


class MarketProduct(models.Model):
    """The rules of one product from a date on. A change of rules is a new row; a row that was traded under stays.

    Fields that a product has no rule for are null. `unverified` names those that were not confirmed by the primary text.
    """

    code = models.CharField(max_length=40)
    name = models.CharField(max_length=160)
    market = models.CharField(max_length=60, help_text="who runs it")
    zone = models.CharField(max_length=40, help_text="country or synchronous area that it is bought in")
    effective_from = models.DateTimeField()
    assessment = models.CharField(max_length=10, choices=Assessment)
    direction = models.CharField(max_length=4, choices=ProductDirection)
    symmetric = models.BooleanField(help_text="the same power up and down in one offer")
    response_s = models.PositiveIntegerField(help_text="time within which the ordered power is reached")
    duration_s = models.PositiveIntegerField(help_text="time for which it is held")
    slot_s = models.PositiveIntegerField(help_text="length of a trading and settlement slot")
    min_bid_kw = models.FloatField()
    bid_step_kw = models.FloatField(null=True, blank=True)
    notice_s = models.PositiveIntegerField(null=True, blank=True, help_text="least time between call and start")
    calls_per_year = models.PositiveSmallIntegerField(null=True, blank=True)
    telemetry_interval_s = models.PositiveIntegerField(help_text="how often the meter is told; judged at this interval")
    tolerance_fraction = models.FloatField(help_text="deviation that is no fault, as a part of the contracted power")
    penalty_multiplier = models.FloatField(help_text="of the capacity price, on power that was short")
    price_cap = models.DecimalField(
        max_digits=12, decimal_places=4, null=True, blank=True, help_text="of capacity, per kW and slot"
    )
    currency = models.CharField(max_length=3)
    nominal_hz = models.FloatField(null=True, blank=True)
    deadband_hz = models.FloatField(null=True, blank=True)
    full_activation_hz = models.FloatField(null=True, blank=True, help_text="deviation at which all is given")
    endurance_s = models.PositiveIntegerField(
        null=True, blank=True, help_text="full power that a limited energy reservoir must hold in both directions"
    )
    source = models.CharField(max_length=400)
    unverified = ArrayField(
        models.CharField(max_length=40), default=list, blank=True, help_text="fields not confirmed by the primary text"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "effective_from"], name="market_product_dated"),
            models.CheckConstraint(
                condition=Q(slot_s__gt=0)
                & Q(telemetry_interval_s__gt=0)
                & Q(min_bid_kw__gt=0)
                & Q(tolerance_fraction__range=(0, 1))
                & Q(penalty_multiplier__gte=0),
                name="market_product_ranges",
            ),
            models.CheckConstraint(
                condition=~Q(assessment="droop")
                | (Q(nominal_hz__gt=0) & Q(deadband_hz__gte=0) & Q(full_activation_hz__gt=F("deadband_hz"))),
                name="market_product_droop",
            ),
        ]
        ordering = [F("code").asc(), F("effective_from").desc()]

    def __str__(self) -> str:
        return self.code
