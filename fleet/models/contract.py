"""Contracts of use: how far an owner lets a car, or the packs of a site, be used. A change is a new row."""

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q


class UseContract(models.Model):
    """Limits on the use of one vehicle, or of all packs of a site together; null for no limit.

    Hours are local time of the site; `discharge_until` before `discharge_from` passes midnight.
    """

    owner = models.ForeignKey("fleet.Owner", on_delete=models.PROTECT, related_name="use_contracts")
    vehicle = models.ForeignKey(
        "fleet.Vehicle", on_delete=models.CASCADE, related_name="use_contracts", null=True, blank=True
    )
    site = models.ForeignKey(
        "fleet.Site", on_delete=models.CASCADE, related_name="use_contracts", null=True, blank=True
    )
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField(null=True, blank=True)
    max_discharge_kwh_per_day = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0)])
    max_discharge_kwh_per_month = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0)])
    max_events_per_month = models.PositiveIntegerField(null=True, blank=True)
    discharge_from = models.TimeField(null=True, blank=True, help_text="discharge is allowed from this local time on")
    discharge_until = models.TimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(vehicle__isnull=False, site__isnull=True) | Q(vehicle__isnull=True, site__isnull=False),
                name="use_contract_for_one_thing",
            ),
            models.UniqueConstraint(
                fields=["vehicle"], condition=Q(valid_until__isnull=True), name="use_contract_once_per_vehicle"
            ),
            models.UniqueConstraint(
                fields=["site"], condition=Q(valid_until__isnull=True), name="use_contract_once_per_site"
            ),
            models.CheckConstraint(
                condition=Q(valid_until__isnull=True) | Q(valid_until__gte=F("valid_from")),
                name="use_contract_ends_after_start",
            ),
            models.CheckConstraint(
                condition=(Q(max_discharge_kwh_per_day__isnull=True) | Q(max_discharge_kwh_per_day__gte=0))
                & (Q(max_discharge_kwh_per_month__isnull=True) | Q(max_discharge_kwh_per_month__gte=0)),
                name="use_contract_limits_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(discharge_from__isnull=True, discharge_until__isnull=True)
                | Q(discharge_from__isnull=False, discharge_until__isnull=False),
                name="use_contract_hours_have_both_ends",
            ),
        ]
        ordering = [F("valid_from").desc()]

    def __str__(self) -> str:
        return f"{self.vehicle_id or self.site_id} from {self.valid_from:%Y-%m-%d}"
