"""Vehicles, what their drivers want of them, and the computers on board."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class VehicleModel(models.Model):
    """What vehicles of one make and model have in common."""

    make = models.CharField(max_length=60)
    name = models.CharField(max_length=80)
    battery_capacity_kwh = models.FloatField()
    max_charge_kw = models.FloatField(help_text="AC charging power of the car")
    max_discharge_kw = models.FloatField(default=0, help_text="zero if the car cannot discharge")
    charge_efficiency = models.FloatField(default=0.92)
    discharge_efficiency = models.FloatField(default=0.92)
    taper_from_fraction = models.FloatField(default=1, help_text="state of charge from which charging slows down")
    full_power_fraction = models.FloatField(default=1, help_text="part of the charging power that is left at 100 %")
    consumption_kwh_per_km = models.FloatField(default=0.16)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["make", "name"], name="vehicle_model_unique"),
            models.CheckConstraint(
                condition=Q(battery_capacity_kwh__gt=0)
                & Q(max_charge_kw__gt=0)
                & Q(max_discharge_kw__gte=0)
                & Q(charge_efficiency__gt=0)
                & Q(charge_efficiency__lte=1)
                & Q(discharge_efficiency__gt=0)
                & Q(discharge_efficiency__lte=1)
                & Q(taper_from_fraction__gt=0)
                & Q(taper_from_fraction__lte=1)
                & Q(full_power_fraction__gt=0)
                & Q(full_power_fraction__lte=1),
                name="vehicle_model_physical",
            ),
        ]
        ordering = [F("make").asc(), F("name").asc()]

    def __str__(self) -> str:
        return f"{self.make} {self.name}"


class Vehicle(models.Model):
    """One enrolled car. Its usable capacity may be less than the model's when new."""

    identity = models.CharField(max_length=60, unique=True)
    label = models.CharField(max_length=80, help_text="what the owner calls it")
    owner = models.ForeignKey("fleet.Owner", on_delete=models.PROTECT, related_name="vehicles")
    model = models.ForeignKey(VehicleModel, on_delete=models.PROTECT, related_name="vehicles")
    home_site = models.ForeignKey(
        "fleet.Site", on_delete=models.PROTECT, related_name="vehicles", null=True, blank=True
    )
    battery_capacity_kwh = models.FloatField()
    v2g_capable = models.BooleanField(default=False)
    wear_per_kwh = models.DecimalField(
        max_digits=10,
        decimal_places=4,
        default=0,
        help_text="cost to the owner of a kWh discharged, in the site's currency",
    )
    # what was last heard of the battery, by whatever way; an estimate between readings
    soc_fraction = models.FloatField(null=True, blank=True)
    soc_measured_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(battery_capacity_kwh__gt=0), name="vehicle_capacity_positive"),
            models.CheckConstraint(
                condition=Q(soc_fraction__isnull=True) | Q(soc_fraction__range=(0, 1)), name="vehicle_soc_is_fraction"
            ),
            models.CheckConstraint(condition=Q(wear_per_kwh__gte=0), name="vehicle_wear_not_negative"),
        ]
        ordering = [F("identity").asc()]

    def __str__(self) -> str:
        return self.label


class GoalKind(models.TextChoices):
    WEEKLY = "weekly", "Every week"
    ONCE = "once", "Once"
    NONE = "none", "No fixed time"


class VehicleGoal(models.Model):
    """The driver's wish: "80 % by 07:30 on weekdays, never below 30 %"."""

    vehicle = models.OneToOneField(Vehicle, on_delete=models.CASCADE, related_name="goal")
    kind = models.CharField(max_length=10, choices=GoalKind, default=GoalKind.WEEKLY)
    weekdays = ArrayField(models.PositiveSmallIntegerField(), default=list, help_text="0 Monday to 6 Sunday")
    ready_by = models.TimeField(null=True, blank=True, help_text="local time of the vehicle's home site")
    ready_at = models.DateTimeField(null=True, blank=True, help_text="for a goal that holds once")
    target_soc_fraction = models.FloatField(default=0.8)
    floor_soc_fraction = models.FloatField(default=0.3)
    keep_charging_if_late = models.BooleanField(default=True)
    charge_now_until = models.DateTimeField(null=True, blank=True, help_text="the owner's override")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(target_soc_fraction__range=(0, 1))
                & Q(floor_soc_fraction__range=(0, 1))
                & Q(floor_soc_fraction__lte=F("target_soc_fraction")),
                name="goal_floor_below_target",
            ),
            models.CheckConstraint(
                condition=~Q(kind="weekly") | Q(ready_by__isnull=False), name="weekly_goal_has_a_time"
            ),
            models.CheckConstraint(
                condition=~Q(kind="once") | Q(ready_at__isnull=False), name="goal_once_has_an_instant"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.vehicle_id}: {self.target_soc_fraction:.0%}"


class OnboardComputer(models.Model):
    """The computer of a vehicle, rented out while it is parked."""

    vehicle = models.OneToOneField(Vehicle, on_delete=models.CASCADE, related_name="computer")
    identity = models.CharField(max_length=60, unique=True)
    cpu_cores = models.PositiveSmallIntegerField(default=4)
    memory_mib = models.PositiveIntegerField(default=4096)
    performance_tflops = models.FloatField(default=10)
    active_power_kw = models.FloatField(default=0.3, help_text="power drawn under load, beyond standing idle")
    token_hash = models.CharField(max_length=200, help_text="of the secret with which its agent logs in")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(cpu_cores__gt=0) & Q(memory_mib__gt=0) & Q(active_power_kw__gte=0),
                name="computer_physical",
            )
        ]

    def __str__(self) -> str:
        return self.identity
