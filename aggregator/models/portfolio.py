"""Portfolios: regions that share limits, and the plans that keep to them."""

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeBoundary, RangeOperators
from django.db import models
from django.db.models import F, Func, Q


class Portfolio(models.Model):
    """Regions that are bought and sold for as one: what one of them does not draw, another may."""

    code = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    currency = models.CharField(max_length=3, help_text="ISO 4217; that of every region in it")

    def __str__(self) -> str:
        return self.code


class PortfolioRegion(models.Model):
    """A region's place in a portfolio; it has one at most."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="members")
    region = models.OneToOneField("fleet.Region", on_delete=models.PROTECT, related_name="portfolio_place")

    def __str__(self) -> str:
        return f"{self.region} in {self.portfolio}"


class DateTimeRange(Func):
    """PostgreSQL's tstzrange."""

    function = "tstzrange"
    output_field = DateTimeRangeField()


class PortfolioLimit(models.Model):
    """The most that a portfolio's chargers, packs and computers may draw or feed in together, for a time."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="limits")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    import_limit_kw = models.FloatField(null=True, blank=True, help_text="empty for none")
    export_limit_kw = models.FloatField(null=True, blank=True, help_text="empty for none")
    missed_price_per_kwh = models.DecimalField(
        max_digits=12, decimal_places=4, help_text="what a kWh beyond the limit costs, in the portfolio's currency"
    )
    reason = models.CharField(max_length=200, blank=True, help_text="the contract or order that it comes from")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="portfolio_limit_ends_after_start"),
            models.CheckConstraint(
                condition=(Q(import_limit_kw__isnull=False) | Q(export_limit_kw__isnull=False))
                & (Q(import_limit_kw__isnull=True) | Q(import_limit_kw__gte=0))
                & (Q(export_limit_kw__isnull=True) | Q(export_limit_kw__gte=0)),
                name="portfolio_limit_not_negative",
            ),
            models.CheckConstraint(condition=Q(missed_price_per_kwh__gt=0), name="portfolio_limit_has_a_price"),
            ExclusionConstraint(
                name="portfolio_limit_no_overlap",
                expressions=[
                    (DateTimeRange("starts_at", "ends_at", RangeBoundary()), RangeOperators.OVERLAPS),
                    ("portfolio", RangeOperators.EQUAL),
                ],
            ),
        ]
        ordering = [F("starts_at").desc()]

    def __str__(self) -> str:
        return f"{self.portfolio} {self.starts_at:%Y-%m-%d %H:%M}"


class PortfolioPlanState(models.TextChoices):
    SAMPLING = "sampling", "Regions hand over samples"
    ALLOTTED = "allotted", "Regions plan within their parts"
    FINISHED = "finished", "Every region has its plan"
    ABANDONED = "abandoned", "Given up for a newer one"


UNDER_WAY = (PortfolioPlanState.SAMPLING, PortfolioPlanState.ALLOTTED)


class PortfolioPlan(models.Model):
    """One price for the regions of a portfolio, and what their plans come to.

    All that a worker must know to go on with it stands here and in its parts, so that any worker may. The limits are those
    of the steps; infinite where there is none. `lower_bound` and `gap` are empty where a region's facts changed on the way.
    """

    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="plans")
    state = models.CharField(max_length=10, choices=PortfolioPlanState, default=PortfolioPlanState.SAMPLING)
    trigger = models.CharField(max_length=12)
    made_at = models.DateTimeField(help_text="from which its steps run")
    touched_at = models.DateTimeField(help_text="when something last went on, or was asked for again")
    step_h = ArrayField(models.FloatField())
    import_limit_kw = ArrayField(models.FloatField())
    export_limit_kw = ArrayField(models.FloatField())
    missed_price_per_kwh = ArrayField(models.FloatField())
    duals = ArrayField(models.FloatField(), default=list, help_text="money per kW in each step, found from samples")
    cost = models.FloatField(null=True, blank=True)
    lower_bound = models.FloatField(null=True, blank=True)
    gap = models.FloatField(null=True, blank=True)
    missed_kwh = models.FloatField(null=True, blank=True, help_text="energy beyond the portfolio's limits")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio"], condition=Q(state__in=UNDER_WAY), name="portfolio_plan_one_under_way"
            )
        ]
        ordering = [F("made_at").desc()]
        indexes = [models.Index(fields=["portfolio", "-made_at"])]

    def __str__(self) -> str:
        return f"{self.portfolio} {self.made_at:%Y-%m-%d %H:%M:%S}"


class PortfolioPart(models.Model):
    """A region's part in a portfolio's plan.

    Attributes:
        facts: names the facts that its sample, plan and bound were made from; a worker that cannot find them any more reads
            new ones, and the portfolio's gap is then not proven.
        least_kw, most_kw: the band within which the region may move without asking anybody.
        bound: no plan of the region costs less at the portfolio's price.
    """

    portfolio_plan = models.ForeignKey(PortfolioPlan, on_delete=models.CASCADE, related_name="parts")
    region = models.ForeignKey("fleet.Region", on_delete=models.PROTECT, related_name="+")
    facts = models.UUIDField(null=True, blank=True)
    sampled_at = models.DateTimeField(null=True, blank=True)
    least_kw = ArrayField(models.FloatField(), default=list)
    most_kw = ArrayField(models.FloatField(), default=list)
    plan = models.OneToOneField(
        "aggregator.Plan", on_delete=models.SET_NULL, null=True, blank=True, related_name="portfolio_part"
    )
    planned_at = models.DateTimeField(null=True, blank=True)
    plan_facts = models.UUIDField(null=True, blank=True)
    power_kw = ArrayField(models.FloatField(), default=list)
    cost = models.FloatField(null=True, blank=True, help_text="of its own, without what the band's ends cost")
    bound = models.FloatField(null=True, blank=True)
    bound_facts = models.UUIDField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["portfolio_plan", "region"], name="portfolio_part_unique"),
        ]
        indexes = [models.Index(fields=["region", "-portfolio_plan"])]

    def __str__(self) -> str:
        return f"{self.region} in {self.portfolio_plan}"
