"""Where things stand: regions, grid nodes, sites."""

from django.db import models
from django.db.models import F, Q


class Region(models.Model):
    """A bidding zone or control area: one price, one grid operator, one currency."""

    code = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2")
    time_zone = models.CharField(max_length=60, help_text="IANA name, such as Asia/Tokyo")
    currency = models.CharField(max_length=3, help_text="ISO 4217")

    def __str__(self) -> str:
        return self.code


class GridNode(models.Model):
    """A feeder or substation whose limits the sites behind it share."""

    region = models.ForeignKey(Region, on_delete=models.PROTECT, related_name="nodes")
    code = models.CharField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    import_limit_kw = models.FloatField(null=True, blank=True)
    export_limit_kw = models.FloatField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=(Q(import_limit_kw__isnull=True) | Q(import_limit_kw__gte=0))
                & (Q(export_limit_kw__isnull=True) | Q(export_limit_kw__gte=0)),
                name="grid_node_limits_not_negative",
            )
        ]

    def __str__(self) -> str:
        return self.code


class SiteKind(models.TextChoices):
    HUB = "hub", "Hub of reused packs"
    DEPOT = "depot", "Depot"
    HOME = "home", "Home"
    MALL = "mall", "Mall"
    CAMPUS = "campus", "Campus"


class OperationMode(models.TextChoices):
    NORMAL = "normal", "Normal"
    EMERGENCY = "emergency", "Emergency"


class Site(models.Model):
    """A place behind one connection to the grid."""

    identity = models.CharField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=SiteKind)
    operation_mode = models.CharField(max_length=10, choices=OperationMode, default=OperationMode.NORMAL)
    grid_node = models.ForeignKey(GridNode, on_delete=models.PROTECT, related_name="sites")
    owner = models.ForeignKey("fleet.Owner", on_delete=models.PROTECT, related_name="sites", null=True, blank=True)
    time_zone = models.CharField(max_length=60, help_text="IANA name, such as Europe/Amsterdam")
    latitude = models.FloatField(null=True, blank=True)
    longitude = models.FloatField(null=True, blank=True)
    import_limit_kw = models.FloatField(help_text="most that the connection may draw")
    export_limit_kw = models.FloatField(help_text="most that the connection may feed in; zero if none is allowed")
    emergency_reserve_kwh = models.FloatField(default=0, help_text="energy in packs that no market may touch")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(import_limit_kw__gte=0) & Q(export_limit_kw__gte=0) & Q(emergency_reserve_kwh__gte=0),
                name="site_limits_not_negative",
            ),
            models.CheckConstraint(
                condition=(Q(latitude__isnull=True) & Q(longitude__isnull=True))
                | (Q(latitude__range=(-90, 90)) & Q(longitude__range=(-180, 180))),
                name="site_position_valid",
            ),
        ]
        ordering = [F("identity").asc()]

    def __str__(self) -> str:
        return self.name
