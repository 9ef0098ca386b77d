"""Carbon: certificates that are owned and retired once, projects that earn credits, positions under a cap."""

from django.db import models
from django.db.models import F, Q


class CertificateKind(models.TextChoices):
    FIT = "fit", "FIT non-fossil certificate (Japan, renewable)"
    NON_FIT_RENEWABLE = "non_fit_re", "Non-FIT non-fossil certificate with renewable designation (Japan)"
    NON_FIT_OTHER = "non_fit_other", "Non-FIT non-fossil certificate without renewable designation (Japan)"
    GUARANTEE_OF_ORIGIN = "go", "Guarantee of origin (Europe)"


RENEWABLE_KINDS = (CertificateKind.FIT, CertificateKind.NON_FIT_RENEWABLE, CertificateKind.GUARANTEE_OF_ORIGIN)


class Certificate(models.Model):
    """A lot of one registry: so many kWh, produced in a time, owned by somebody, retired once or not at all.

    A lot is moved or retired whole; a part of it is split off first. Rows are never deleted, a retired one never changes:
    the database sees to both.
    """

    registry = models.CharField(max_length=40)
    serial = models.CharField(max_length=80, help_text="the registry's own number of the lot")
    kind = models.CharField(max_length=16, choices=CertificateKind)
    region = models.ForeignKey("fleet.Region", on_delete=models.PROTECT, related_name="certificates")
    produced_from = models.DateTimeField()
    produced_until = models.DateTimeField()
    kwh = models.DecimalField(max_digits=18, decimal_places=6)
    kg_per_kwh = models.FloatField(default=0, help_text="what the production emitted")
    technology = models.CharField(max_length=60, blank=True)
    holder = models.CharField(max_length=120, help_text="owner identity; empty: the platform", blank=True)
    source = models.CharField(max_length=300, blank=True)
    split_from = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="parts")
    recorded_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, blank=True)
    retired_for = models.CharField(max_length=120, blank=True, help_text="whose consumption: a site's identity")
    consumption_from = models.DateTimeField(null=True, blank=True)
    consumption_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["registry", "serial"], name="certificate_once"),
            models.CheckConstraint(
                condition=Q(kwh__gte=0) & Q(produced_until__gt=F("produced_from")), name="certificate_sound"
            ),
            models.CheckConstraint(
                condition=Q(retired_at__isnull=True, retired_for="", consumption_from__isnull=True)
                | (
                    Q(retired_at__isnull=False, consumption_from__isnull=False)
                    & Q(consumption_until__gt=F("consumption_from"))
                    & ~Q(retired_for="")
                ),
                name="certificate_retired_for_something",
            ),
        ]
        indexes = [models.Index(fields=["retired_for", "consumption_from"])]

    def __str__(self) -> str:
        return f"{self.registry} {self.serial}"


class CreditProject(models.Model):
    """A baseline-and-credit project of a site. Its report is computed from monitoring rows and never typed in."""

    code = models.CharField(max_length=60, unique=True)
    site_identity = models.CharField(max_length=60)
    methodology = models.CharField(max_length=160)
    approved = models.BooleanField(default=False, help_text="a registry approved methodology and plan; else no credit")
    starts_on = models.DateField()
    ends_on = models.DateField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_on__gte=F("starts_on")), name="credit_project_has_a_time")
        ]

    def __str__(self) -> str:
        return self.code


class MonitoringRecord(models.Model):
    """What a project used in a time, with what it would have used without, and the factor that the methodology names."""

    project = models.ForeignKey(CreditProject, on_delete=models.PROTECT, related_name="records")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    baseline_kwh = models.DecimalField(max_digits=18, decimal_places=6)
    project_kwh = models.DecimalField(max_digits=18, decimal_places=6)
    kg_per_kwh = models.FloatField()
    evidence = models.CharField(max_length=300, help_text="where the numbers come from: fingerprint, document")
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "starts_at"], name="monitored_once"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="monitored_time"),
        ]
        ordering = [F("starts_at").asc()]

    def __str__(self) -> str:
        return f"{self.project_id} {self.starts_at:%Y-%m-%d}"


class SiteYear(models.Model):
    """What a site has under a cap, and what it made with its energy, in one year. EP100 compares with the base year."""

    site_identity = models.CharField(max_length=60)
    year = models.PositiveSmallIntegerField()
    verified_kg = models.FloatField(null=True, blank=True)
    allowances_kg = models.FloatField(default=0)
    offsets_kg = models.FloatField(default=0)
    offset_limit_fraction = models.FloatField(default=0, help_text="by the scheme's rules; 0: none count")
    output = models.FloatField(null=True, blank=True, help_text="what the site makes, in output_unit")
    output_unit = models.CharField(max_length=40, blank=True)
    energy_kwh = models.FloatField(null=True, blank=True)
    source = models.CharField(max_length=300)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["site_identity", "year"], name="site_year_once")]
        ordering = [F("site_identity").asc(), F("year").asc()]

    def __str__(self) -> str:
        return f"{self.site_identity} {self.year}"
