"""The four rewards of an owner, a site or the portfolio."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from aggregator.portal.access import OwnerRequest, for_operator, for_owner
from aggregator.portal.pages import render_page
from aggregator.queries.rewards import rewards
from common.errors import NotFound
from fleet.queries.owners import owner_by_id
from fleet.queries.scopes import scope_of_owner, scope_of_portfolio, scope_of_site
from grid.queries.carbon import site_years

DAYS = 7


def _week(now: datetime) -> tuple[datetime, datetime]:
    """The last seven days up to the last full hour."""
    ends_at = now.replace(minute=0, second=0, microsecond=0)
    return ends_at - timedelta(days=DAYS), ends_at


@require_safe
@for_owner
def my_rewards(request: OwnerRequest) -> HttpResponse:
    """An owner's own."""
    now = timezone.now()
    starts_at, ends_at = _week(now)
    owner = owner_by_id(request.owner.owner_id)
    if owner is None:
        raise Http404
    scope = scope_of_owner(request.owner.owner_id, at=now)
    found = rewards(scope, starts_at=starts_at, ends_at=ends_at, owner_identity=owner.identity)
    context = {"rewards": found, "base": "portal/owner/base.html"}
    return render_page(request, "portal/rewards.html", context, time_zone=owner.time_zone or "UTC")


@require_safe
@for_operator
def ops_rewards(request: HttpRequest) -> HttpResponse:
    """The portfolio's, or with `site=` a site's."""
    identity = request.GET.get("site", "").strip()
    starts_at, ends_at = _week(timezone.now())
    try:
        scope = scope_of_site(identity) if identity else scope_of_portfolio()
    except NotFound as error:
        raise Http404 from error
    context = {
        "rewards": rewards(scope, starts_at=starts_at, ends_at=ends_at, everything=not identity),
        "site": identity,
        "years": site_years(identity) if identity else [],
        "base": "portal/ops/base.html",
        "operator": True,
    }
    return render_page(request, "portal/rewards.html", context, time_zone=scope.time_zone)
