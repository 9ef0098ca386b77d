"""A used pack's way through the hub: graded on intake by dated rules, tested for its capacity from time to time."""

from django.db import models
from django.db.models import F, Q


class PackIntakeRule(models.Model):
    """The marks by which packs are graded from a date on. Rules are never changed: a further row replaces them."""

    valid_from = models.DateField(unique=True)
    refuse_below_health = models.FloatField()
    derate_below_health = models.FloatField()
    refuse_over_age_years = models.FloatField()
    refuse_over_cell_spread_v = models.FloatField()
    derate_over_cell_spread_v = models.FloatField()
    refuse_over_resistance_ratio = models.FloatField()
    derate_over_resistance_ratio = models.FloatField()
    refuse_under_insulation_ohm_per_v = models.FloatField()
    derated_power_fraction = models.FloatField()
    source = models.CharField(max_length=300, help_text="where the marks come from")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(refuse_below_health__lte=F("derate_below_health"))
                & Q(refuse_over_cell_spread_v__gte=F("derate_over_cell_spread_v"))
                & Q(refuse_over_resistance_ratio__gte=F("derate_over_resistance_ratio"))
                & Q(derated_power_fraction__gt=0)
                & Q(derated_power_fraction__lte=1),
                name="intake_rule_marks_in_order",
            )
        ]
        ordering = [F("valid_from").desc()]

    def __str__(self) -> str:
        return f"from {self.valid_from}"


class PackIntake(models.Model):
    """One pack that was offered, as inspected, with its verdict and every reason; also those that were refused."""

    identity = models.CharField(max_length=60, help_text="of the pack, whether it was taken or not")
    serial_number = models.CharField(max_length=60, blank=True)
    origin = models.CharField(max_length=120)
    inspected_at = models.DateTimeField()
    inspected_by = models.CharField(max_length=120)
    inspection = models.JSONField(help_text="what was measured")
    rule = models.ForeignKey(PackIntakeRule, on_delete=models.PROTECT, related_name="intakes")
    verdict = models.CharField(max_length=10)
    reasons = models.JSONField(default=list)
    pack = models.OneToOneField("fleet.Pack", on_delete=models.SET_NULL, null=True, blank=True, related_name="intake")

    class Meta:
        ordering = [F("inspected_at").desc(), F("pk").desc()]

    def __str__(self) -> str:
        return f"{self.identity} {self.verdict}"


class CapacityTestState(models.TextChoices):
    RUNNING = "running", "Running"
    FINISHED = "finished", "Finished"
    INCONCLUSIVE = "inconclusive", "Inconclusive"
    CANCELLED = "cancelled", "Called off"


class CapacityTest(models.Model):
    """One test of a pack's capacity; while it runs no plan touches the pack."""

    pack = models.ForeignKey("fleet.Pack", on_delete=models.CASCADE, related_name="capacity_tests")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    test_kw = models.FloatField()
    state = models.CharField(max_length=12, choices=CapacityTestState, default=CapacityTestState.RUNNING)
    capacity_kwh = models.FloatField(null=True, blank=True)
    standard_error_kwh = models.FloatField(null=True, blank=True)
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pack"], condition=Q(state="running"), name="one_running_capacity_test"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="capacity_test_ends_after_start"),
        ]
        ordering = [F("starts_at").desc()]

    def __str__(self) -> str:
        return f"{self.pack_id} {self.starts_at:%Y-%m-%d} {self.state}"
