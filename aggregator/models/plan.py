"""Plans: what was decided, from what, how good it is proven to be, and what it cannot keep."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F


class PlanTrigger(models.TextChoices):
    SCHEDULE = "schedule", "On schedule"
    EVENT = "event", "A grid event"
    ARRIVAL = "arrival", "A car arrived"
    DEPARTURE = "departure", "A car left"
    LOST_DEVICE = "lost_device", "A device was lost"
    OWNER = "owner", "An owner changed a wish"


class Plan(models.Model):
    """One solved dispatch problem for a region.

    Steps may differ in length: step k lasts `step_h[k]` hours from where step k-1 ended. `missed` lists every promise
    that cannot be kept: kind, asset or site, step, kW, kWh, price, money, reason.
    """

    region = models.ForeignKey("fleet.Region", on_delete=models.PROTECT, related_name="plans")
    trigger = models.CharField(max_length=12, choices=PlanTrigger)
    grid_event_id = models.BigIntegerField(null=True, blank=True)
    made_at = models.DateTimeField(help_text="when its inputs were read")
    starts_at = models.DateTimeField()
    step_h = ArrayField(models.FloatField())
    price_per_kwh = ArrayField(models.FloatField())
    target_kw = ArrayField(models.FloatField(null=True), default=list, help_text="total wanted of the participants")
    status = models.CharField(max_length=30)
    solver = models.CharField(max_length=40)
    cost = models.FloatField()
    lower_bound = models.FloatField()
    gap = models.FloatField()
    solve_s = models.FloatField()
    asset_count = models.PositiveIntegerField()
    missed = models.JSONField(default=list)
    # kg CO2 of the plan's net energy, by the region's average factors; null where it has none
    co2_kg = models.FloatField(null=True, blank=True)
    probability = models.FloatField(
        null=True, blank=True, help_text="with which drivers' needs and the grid's power are held against departures"
    )
    departure_basis = models.JSONField(default=dict, help_text="how many cars by what their departure was learnt from")
    event_margins = models.JSONField(
        default=list, help_text="power planned beyond each event's target, for cars that leave"
    )
    contracts = models.JSONField(default=list, help_text="contracts of use that kept the plan from more")
    computing_kw = ArrayField(models.FloatField(), default=list, help_text="load of on-board computers per step")

    class Meta:
        ordering = [F("made_at").desc()]
        indexes = [models.Index(fields=["region", "-made_at"])]

    def __str__(self) -> str:
        return f"{self.trigger} {self.made_at:%Y-%m-%d %H:%M:%S}"


class PlannedSchedule(models.Model):
    """The plan of one asset: power and energy at the end of each step, with why."""

    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="schedules")
    asset_id = models.BigIntegerField()
    power_kw = ArrayField(models.FloatField())
    energy_kwh = ArrayField(models.FloatField(null=True))

    class Meta:
        constraints = [models.UniqueConstraint(fields=["plan", "asset_id"], name="planned_schedule_unique")]
        indexes = [models.Index(fields=["asset_id", "-plan"])]

    def __str__(self) -> str:
        return f"plan {self.plan_id} asset {self.asset_id}"
