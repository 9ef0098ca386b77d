"""The books: double entry, append-only. A migration adds the triggers that keep them balanced and unchanged."""

from django.db import models
from django.db.models import F, Q


class LedgerAccountKind(models.TextChoices):
    GRID_OPERATOR = "grid_operator", "Grid operator"
    TENANT = "tenant", "Tenant of computing"
    OWNER = "owner", "Owner"
    PLATFORM = "platform", "The platform's own revenue"
    BANK = "bank", "What left by the bank"
    # where quantities (energy, CO2) come from and go to, so that they balance like money
    ENERGY_SOURCE = "energy_source", "Assets as source of energy"
    ENERGY_GRID = "energy_grid", "Energy delivered to the grid operator"
    CARBON_SOURCE = "carbon_source", "Avoided emissions"
    CARBON_ACCOUNT = "carbon_account", "Emissions account of a party"


class LedgerAccount(models.Model):
    """One account of one party in one unit: a currency (ISO 4217), kWh, or kgCO2."""

    kind = models.CharField(max_length=16, choices=LedgerAccountKind)
    party = models.CharField(max_length=120, blank=True, help_text="whose: owner identity, client name; empty: ours")
    unit = models.CharField(max_length=6)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "party", "unit"], name="ledger_account_unique")]

    def __str__(self) -> str:
        return f"{self.kind}:{self.party}:{self.unit}"


class LedgerTransaction(models.Model):
    """What happened, once: `idempotency_key` makes booking it again a no-op."""

    idempotency_key = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=40, help_text="settlement, computing, correction, payout")
    occurred_at = models.DateTimeField()
    booked_at = models.DateTimeField()
    description = models.CharField(max_length=300)
    grid_event_id = models.BigIntegerField(null=True, blank=True)
    lease_id = models.BigIntegerField(null=True, blank=True)
    market_award_id = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = [F("booked_at").desc()]

    def __str__(self) -> str:
        return self.idempotency_key


class LedgerEntry(models.Model):
    """One line. Positive: the account receives; negative: it gives. Per transaction and unit the lines add up to zero."""

    transaction = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT, related_name="entries")
    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="entries")
    amount = models.DecimalField(max_digits=20, decimal_places=6)
    asset_id = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(amount=0), name="ledger_entry_not_zero")]
        indexes = [models.Index(fields=["account", "transaction"])]

    def __str__(self) -> str:
        return f"{self.account_id} {self.amount}"
