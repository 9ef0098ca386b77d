"""Offers: a computer that stands idle now, on its owner's terms."""

from django.db import models
from django.db.models import F, Q


class ComputingTerms(models.Model):
    """On which terms an owner rents out a computer. No row: the platform's defaults (`compute_market.core.terms`)."""

    computer = models.OneToOneField("fleet.OnboardComputer", on_delete=models.CASCADE, related_name="computing_terms")
    minimum_soc_fraction = models.FloatField()
    departure_margin_s = models.PositiveIntegerField(help_text="no computing within so many seconds of departure")
    floor_price_per_cpu_hour = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, help_text="the owner's own; none: the cost floor"
    )
    energy_price_per_kwh = models.DecimalField(
        max_digits=10, decimal_places=4, null=True, blank=True, help_text="what charging costs the owner; none: default"
    )
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(minimum_soc_fraction__range=(0, 1)), name="computing_terms_soc_is_fraction"
            ),
            models.CheckConstraint(
                condition=(Q(floor_price_per_cpu_hour__isnull=True) | Q(floor_price_per_cpu_hour__gte=0))
                & (Q(energy_price_per_kwh__isnull=True) | Q(energy_price_per_kwh__gte=0)),
                name="computing_terms_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.computer_id}: above {self.minimum_soc_fraction:.0%}"


class OfferState(models.TextChoices):
    OPEN = "open", "Open"
    WITHDRAWN = "withdrawn", "Withdrawn"


class Offer(models.Model):
    """One stretch of idle time, from the agent's first announcement to its withdrawal.

    Terms and asking price are copied when the offer is made: a lease is settled on what was offered. The agent's own
    word on the battery and the departure stands beside what the fleet knows; the stricter of the two counts.
    """

    computer = models.ForeignKey("fleet.OnboardComputer", on_delete=models.CASCADE, related_name="offers")
    state = models.CharField(max_length=10, choices=OfferState, default=OfferState.OPEN)
    withdrawal_reason = models.CharField(max_length=40, blank=True)
    minimum_soc_fraction = models.FloatField()
    departure_margin_s = models.PositiveIntegerField()
    ask_per_cpu_hour = models.DecimalField(max_digits=12, decimal_places=6)
    currency = models.CharField(max_length=3)
    cpu_cores = models.PositiveSmallIntegerField()
    memory_mib = models.PositiveIntegerField()
    isolation = models.CharField(max_length=120, blank=True, help_text="which walls the agent's sandbox has")
    agent_soc_fraction = models.FloatField(null=True, blank=True)
    agent_departure_at = models.DateTimeField(null=True, blank=True)
    agent_plugged_in = models.BooleanField(default=True)
    refused_because = models.CharField(max_length=40, blank=True, help_text="which of the terms stands in the way now")
    published_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["computer"], condition=Q(state="open"), name="offer_one_open_per_computer"),
            models.CheckConstraint(
                condition=Q(minimum_soc_fraction__range=(0, 1))
                & (Q(agent_soc_fraction__isnull=True) | Q(agent_soc_fraction__range=(0, 1))),
                name="offer_soc_is_fraction",
            ),
            models.CheckConstraint(
                condition=Q(ask_per_cpu_hour__gte=0) & Q(cpu_cores__gt=0) & Q(memory_mib__gt=0),
                name="offer_limits_positive",
            ),
            models.CheckConstraint(
                condition=Q(state="open", withdrawn_at__isnull=True) | Q(state="withdrawn", withdrawn_at__isnull=False),
                name="offer_withdrawn_when_closed",
            ),
        ]
        indexes = [models.Index(fields=["last_seen_at"], condition=Q(state="open"), name="offer_open")]
        ordering = [F("id").desc()]

    def __str__(self) -> str:
        return f"{self.computer_id} {self.state}"
