"""Second-life packs behind inverters, and meters: what is read and set over Modbus."""

from django.db import models
from django.db.models import F, Q


class ModbusFraming(models.TextChoices):
    """How Modbus messages are framed on the TCP connection."""

    TCP = "tcp", "Modbus TCP"
    RTU_OVER_TCP = "rtu_over_tcp", "Modbus RTU over TCP"


class Inverter(models.Model):
    """A Modbus end-point reached over TCP: an inverter with its own unit, its packs as further units behind it.

    `register_profile` names the profile of an inverter that does not speak SunSpec; empty for one that does.
    """

    identity = models.CharField(max_length=60, unique=True)
    site = models.ForeignKey("fleet.Site", on_delete=models.PROTECT, related_name="inverters")
    host = models.CharField(max_length=120)
    port = models.PositiveIntegerField()
    device_id = models.PositiveSmallIntegerField(default=1)
    framing = models.CharField(max_length=15, choices=ModbusFraming, default=ModbusFraming.TCP)
    register_profile = models.CharField(max_length=60, blank=True, help_text="empty: SunSpec")
    max_charge_kw = models.FloatField()
    max_discharge_kw = models.FloatField()
    connected = models.BooleanField(default=False)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    gateway_identity = models.CharField(max_length=60, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["host", "port", "device_id"], name="inverter_address_unique"),
            models.CheckConstraint(
                condition=Q(max_charge_kw__gt=0) & Q(max_discharge_kw__gte=0), name="inverter_limits"
            ),
        ]
        ordering = [F("identity").asc()]

    def __str__(self) -> str:
        return self.identity


class Pack(models.Model):
    """A battery pack on its second life."""

    asset = models.OneToOneField("fleet.Asset", on_delete=models.PROTECT, related_name="pack")
    inverter = models.ForeignKey(Inverter, on_delete=models.PROTECT, related_name="packs")
    device_id = models.PositiveSmallIntegerField(help_text="Modbus unit identifier")
    origin = models.CharField(max_length=120, help_text="the vehicle model that it came from")
    serial_number = models.CharField(max_length=60, blank=True)
    manufactured_on = models.DateField(null=True, blank=True)
    nameplate_kwh = models.FloatField()
    state_of_health_fraction = models.FloatField(default=1, help_text="usable share of the nameplate")
    max_charge_kw = models.FloatField()
    max_discharge_kw = models.FloatField()
    charge_efficiency = models.FloatField(default=0.92)
    discharge_efficiency = models.FloatField(default=0.92)
    taper_from_fraction = models.FloatField(default=1, help_text="state of charge from which charging slows down")
    full_power_fraction = models.FloatField(default=1, help_text="part of the charging power that is left at 100 %")
    minimum_soc_fraction = models.FloatField(default=0.1)
    wear_per_kwh = models.DecimalField(max_digits=10, decimal_places=4, default=0)
    soc_fraction = models.FloatField(null=True, blank=True)
    soc_measured_at = models.DateTimeField(null=True, blank=True)
    temperature_c = models.FloatField(null=True, blank=True)
    charge_fraction = models.FloatField(default=1, help_text="part of its full power that it may take now")
    discharge_fraction = models.FloatField(default=1, help_text="part of its full power that it may give now")
    condition_reason = models.CharField(max_length=200, blank=True, help_text="why it may not do all")
    sound_since = models.DateTimeField(
        null=True, blank=True, help_text="an isolated pack: since when it is sound again"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["inverter", "device_id"], name="pack_unit_unique"),
            models.CheckConstraint(
                condition=Q(nameplate_kwh__gt=0)
                & Q(state_of_health_fraction__gt=0)
                & Q(state_of_health_fraction__lte=1.2)
                & Q(max_charge_kw__gt=0)
                & Q(max_discharge_kw__gte=0)
                & Q(charge_efficiency__gt=0)
                & Q(charge_efficiency__lte=1)
                & Q(discharge_efficiency__gt=0)
                & Q(discharge_efficiency__lte=1)
                & Q(minimum_soc_fraction__range=(0, 1))
                & Q(taper_from_fraction__gt=0)
                & Q(taper_from_fraction__lte=1)
                & Q(full_power_fraction__gt=0)
                & Q(full_power_fraction__lte=1),
                name="pack_physical",
            ),
            models.CheckConstraint(
                condition=Q(charge_fraction__range=(0, 1)) & Q(discharge_fraction__range=(0, 1)), name="pack_derating"
            ),
            models.CheckConstraint(
                condition=Q(soc_fraction__isnull=True) | Q(soc_fraction__range=(0, 1)), name="pack_soc_is_fraction"
            ),
        ]
        ordering = [F("asset__identity").asc()]

    def __str__(self) -> str:
        return f"pack {self.asset_id}"

    @property
    def capacity_kwh(self) -> float:
        """What it holds today: nameplate times state of health."""
        return self.nameplate_kwh * self.state_of_health_fraction


class PackHealthRecord(models.Model):
    """One line of a pack's history: intake test, capacity test, incident."""

    pack = models.ForeignKey(Pack, on_delete=models.CASCADE, related_name="history")
    recorded_at = models.DateTimeField()
    kind = models.CharField(max_length=30, help_text="intake, capacity_test, estimate, incident, derating, recovery")
    state_of_health_fraction = models.FloatField(null=True, blank=True)
    full_cycles = models.FloatField(null=True, blank=True)
    note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = [F("recorded_at").desc()]

    def __str__(self) -> str:
        return f"{self.pack_id} {self.kind} {self.recorded_at:%Y-%m-%d}"


class MeterRole(models.TextChoices):
    CONNECTION = "connection", "Grid connection"
    LOAD = "load", "Load"
    PHOTOVOLTAIC = "photovoltaic", "Photovoltaic generation"


class Meter(models.Model):
    """A meter that stands alone (EVSEs and packs meter themselves), read over Modbus as SunSpec model 203."""

    asset = models.OneToOneField("fleet.Asset", on_delete=models.PROTECT, related_name="meter")
    role = models.CharField(max_length=15, choices=MeterRole)
    host = models.CharField(max_length=120)
    port = models.PositiveIntegerField()
    device_id = models.PositiveSmallIntegerField(default=1)
    framing = models.CharField(max_length=15, choices=ModbusFraming, default=ModbusFraming.TCP)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "port", "device_id"], name="meter_address_unique")]

    def __str__(self) -> str:
        return f"{self.role} {self.asset_id}"
