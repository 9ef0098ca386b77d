"""Paying owners out: where to, in which batch, how much."""

from django.db import models
from django.db.models import F, Q


class PayoutAccount(models.Model):
    """Where an owner's money goes. An IBAN for SEPA, or bank, branch and number for a domestic transfer."""

    party = models.CharField(max_length=120, unique=True, help_text="owner identity")
    holder_name = models.CharField(max_length=70)
    iban = models.CharField(max_length=34, blank=True)
    bic = models.CharField(max_length=11, blank=True)
    bank_code = models.CharField(max_length=10, blank=True)
    branch_code = models.CharField(max_length=10, blank=True)
    account_number = models.CharField(max_length=20, blank=True)
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(iban="") | (~Q(bank_code="") & ~Q(account_number="")), name="payout_account_reachable"
            )
        ]

    def __str__(self) -> str:
        return self.party


class PayoutBatch(models.Model):
    """Payments of one currency that leave together. `message` is the file as it was first made: it never changes."""

    idempotency_key = models.CharField(max_length=60, unique=True)
    currency = models.CharField(max_length=3)
    made_at = models.DateTimeField()
    execution_date = models.DateField()
    total = models.DecimalField(max_digits=20, decimal_places=6)
    message = models.BinaryField(null=True, help_text="ISO 20022 pain.001, once it was made")
    message_sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = [F("made_at").desc()]

    def __str__(self) -> str:
        return self.idempotency_key


class Payout(models.Model):
    """One payment, to the account that was known when the batch was made."""

    batch = models.ForeignKey(PayoutBatch, on_delete=models.PROTECT, related_name="payouts")
    party = models.CharField(max_length=120)
    amount = models.DecimalField(max_digits=20, decimal_places=6)
    end_to_end_id = models.CharField(max_length=35, unique=True)
    holder_name = models.CharField(max_length=70)
    iban = models.CharField(max_length=34, blank=True)
    bic = models.CharField(max_length=11, blank=True)
    bank_code = models.CharField(max_length=10, blank=True)
    branch_code = models.CharField(max_length=10, blank=True)
    account_number = models.CharField(max_length=20, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch", "party"], name="payout_once_per_batch"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="payout_positive"),
        ]

    def __str__(self) -> str:
        return self.end_to_end_id
