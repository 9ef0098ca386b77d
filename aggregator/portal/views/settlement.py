"""A settlement for the operator: the document with every number's origin, watched baselines, and disputes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from aggregator.core.document_words import word
from aggregator.core.documents import Document, Figure, as_csv, as_pdf
from aggregator.operations.disputes import open_dispute
from aggregator.portal.access import for_operator
from aggregator.portal.pages import render_page
from aggregator.queries.documents import settlement_document
from common.errors import NotFound, PlatformError
from grid.operations.baseline_checks import review_baseline_check
from grid.operations.disputes import resolve_dispute
from grid.queries import event
from grid.queries.baseline_checks import baseline_checks
from grid.queries.disputes import disputes_of_event


@require_safe
@for_operator
def settlement_page(request: HttpRequest, event_id: int) -> HttpResponse:
    """The latest revision with origins; `as=csv` or `as=pdf` for the file."""
    kind, language = request.GET.get("as", ""), _language()
    try:
        found = event(event_id)
        # on the page the totals; the files have every contribution
        document = settlement_document(event_id=event_id, with_shares=bool(kind))
    except NotFound as error:
        raise Http404 from error
    if kind in ("csv", "pdf"):
        return _file(document, kind, language)
    context = {
        "event": found,
        "document": document,
        "facts": _named(document.facts, language),
        "totals": _named(document.totals, language),
        "checks": baseline_checks(event_id=event_id),
        "disputes": disputes_of_event(event_id),
        "key": uuid.uuid4(),
    }
    return render_page(request, "portal/ops/settlement.html", context, time_zone=found.time_zone)


def _named(figures: tuple[Figure, ...], language: str) -> list[tuple[str, Figure]]:
    return [(word(figure.name, language), figure) for figure in figures]


def _language() -> str:
    return "ja" if (get_language() or "").startswith("ja") else "en"


def _file(document: Document, kind: str, language: str) -> HttpResponse:
    content = as_csv(document) if kind == "csv" else as_pdf(document, language=language)
    answer = HttpResponse(content, content_type="text/csv; charset=utf-8" if kind == "csv" else "application/pdf")
    answer["Content-Disposition"] = f'attachment; filename="{document.number.replace(" ", "-")}.{kind}"'
    return answer


@require_POST
@for_operator
def dispute(request: HttpRequest, event_id: int) -> HttpResponse:
    """Open a dispute about the latest revision."""
    opened = partial(
        open_dispute,
        event_id=event_id,
        raised_by=_who(request),
        idempotency_key=request.POST.get("key", "")[:120] or str(uuid.uuid4()),
        reason=request.POST.get("reason", ""),
        now=timezone.now(),
    )
    return _after(request, event_id, opened, said=_("Opened. What the settlement was computed from is frozen."))


@require_POST
@for_operator
def resolve(request: HttpRequest, event_id: int, dispute_id: int) -> HttpResponse:
    """Say what became of a dispute."""
    resolved = partial(
        resolve_dispute,
        dispute_id=dispute_id,
        upheld=request.POST.get("outcome") == "upheld",
        resolution=request.POST.get("resolution", ""),
        resolved_by=_who(request),
        now=timezone.now(),
    )
    return _after(request, event_id, resolved)


@require_POST
@for_operator
def review(request: HttpRequest, event_id: int, check_id: int) -> HttpResponse:
    """Keep what a person found about a conspicuous baseline window."""
    reviewed = partial(
        review_baseline_check,
        check_id=check_id,
        reviewed_by=_who(request),
        verdict=request.POST.get("verdict", ""),
        now=timezone.now(),
    )
    return _after(request, event_id, reviewed)


def _after(request: HttpRequest, event_id: int, act: Callable[[], object], *, said: str = "") -> HttpResponse:
    """Do what the operator asked, say how it went, and show the settlement again."""
    try:
        act()
    except NotFound as error:
        raise Http404 from error
    except PlatformError as error:
        messages.error(request, str(error))
    else:
        if said:
            messages.success(request, said)
    return redirect("portal:ops-settlement", event_id)


def _who(request: HttpRequest) -> str:
    return f"console:{request.user.get_username()}"[:120]
