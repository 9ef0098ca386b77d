"""Portfolios: which regions share limits, what is allotted to each, and how far a common plan has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from aggregator.models import Portfolio, PortfolioLimit, PortfolioPart, PortfolioPlanState
from common.horizon import Horizon

Numbers = NDArray[np.float64]

# A part of the portfolio's room is kept to for so long after it was dealt out; a portfolio is planned far more often.
BAND_HOLDS = timedelta(minutes=30)


@dataclass(frozen=True, eq=False)
class RegionBand:
    """Between which powers a region's chargers, packs and computers may move together, step by step of a horizon."""

    name: str
    least_kw: Numbers  # [step]
    most_kw: Numbers  # [step]
    missed_price_per_kwh: Numbers  # [step]


@dataclass(frozen=True, slots=True)
class PortfolioView:
    """A portfolio and its regions."""

    portfolio_id: int
    code: str
    region_ids: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class LimitsByStep:
    """A portfolio's limits over a horizon; infinite where there is none."""

    import_limit_kw: Numbers  # [step]
    export_limit_kw: Numbers  # [step]
    missed_price_per_kwh: Numbers  # [step]

    @property
    def any(self) -> bool:
        """Whether there is a limit in any step."""
        return bool(np.isfinite(self.import_limit_kw).any() or np.isfinite(self.export_limit_kw).any())


def limited_portfolios(*, now: datetime, until: datetime) -> list[PortfolioView]:
    """Portfolios that have a limit between now and then."""
    rows = Portfolio.objects.filter(limits__starts_at__lt=until, limits__ends_at__gt=now).distinct()
    views = []
    for row in rows.order_by("code").prefetch_related("members"):
        region_ids = tuple(sorted(member.region_id for member in row.members.all()))
        if region_ids:
            views.append(PortfolioView(row.pk, row.code, region_ids))
    return views


def limits_by_step(*, portfolio_id: int, horizon: Horizon) -> LimitsByStep:
    """The limits that hold in most of each step."""
    most, least = np.full(horizon.steps, np.inf), np.full(horizon.steps, np.inf)
    price = np.zeros(horizon.steps)
    rows = PortfolioLimit.objects.filter(
        portfolio_id=portfolio_id, starts_at__lt=horizon.ends_at, ends_at__gt=horizon.starts_at
    )
    for row in rows:
        inside = horizon.overlap_fraction(row.starts_at, row.ends_at) > 0.5
        most[inside] = np.inf if row.import_limit_kw is None else row.import_limit_kw
        least[inside] = np.inf if row.export_limit_kw is None else row.export_limit_kw
        price[inside] = float(row.missed_price_per_kwh)
    return LimitsByStep(most, least, price)


def standing_band(*, region_id: int, horizon: Horizon, now: datetime) -> RegionBand | None:
    """What the newest plan of its portfolio allotted to a region, by the steps of the region's own horizon.

    None: the region is in no portfolio, or nothing has been allotted to it lately.
    """
    part = (
        PortfolioPart.objects.filter(
            region_id=region_id,
            portfolio_plan__made_at__gt=now - BAND_HOLDS,
            portfolio_plan__state__in=(PortfolioPlanState.ALLOTTED, PortfolioPlanState.FINISHED),
        )
        .select_related("portfolio_plan__portfolio")
        .order_by("-portfolio_plan__made_at")
        .first()
    )
    return None if part is None else band_of(part, horizon)


def band_of(part: PortfolioPart, horizon: Horizon) -> RegionBand:
    """A region's part of the portfolio's room, by the steps of any horizon; none where the portfolio's steps end."""
    plan = part.portfolio_plan
    step_at = _step_of(horizon, plan.made_at, plan.step_h)

    def by_step(values: Sequence[float], beyond: float) -> Numbers:
        return np.append(np.asarray(values, dtype=np.float64), beyond)[step_at]

    return RegionBand(
        plan.portfolio.code,
        by_step(part.least_kw, -np.inf),
        by_step(part.most_kw, np.inf),
        by_step(plan.missed_price_per_kwh, 0.0),
    )


def _step_of(horizon: Horizon, starts_at: datetime, step_h: Sequence[float]) -> NDArray[np.int64]:  # [step]
    """For each step of a horizon the step of another in whose middle it lies; one past the last where in none."""
    ends_s = np.cumsum(step_h) * 3600.0
    middle_s = (horizon.starts_at - starts_at).total_seconds() + (horizon.offset_s[:-1] + horizon.offset_s[1:]) / 2
    return np.searchsorted(ends_s, middle_s, side="right").astype(np.int64)
