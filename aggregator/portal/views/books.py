"""The books for the operator: are they sound, what do they hold, who is paid out."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from aggregator.operations.chain import verify_ledger
from aggregator.operations.payouts import make_payout_batch, payment_csv, payment_message
from aggregator.portal.access import for_operator
from aggregator.portal.pages import render_page
from aggregator.queries.books import held_balances, payout_batches, sealed_bookings
from aggregator.queries.chain import latest_verification
from common.errors import NotFound, PlatformError
from common.money import MINOR_UNIT_DIGITS

SHOWN = 50


@require_safe
@for_operator
def books(request: HttpRequest) -> HttpResponse:
    """The chain, the balances, the batches."""
    context = {
        "sealed": sealed_bookings(),
        "verification": latest_verification(),
        "balances": held_balances(),
        "batches": payout_batches(limit=SHOWN),
        "currencies": sorted(MINOR_UNIT_DIGITS),
        "today": timezone.now().date(),
    }
    return render_page(request, "portal/ops/books.html", context)


@require_POST
@for_operator
def verify(request: HttpRequest) -> HttpResponse:
    """Check the whole chain now."""
    report = verify_ledger(now=timezone.now())
    if report.faults:
        messages.error(
            request, _("The books are not what was booked. Nobody should be paid before this is understood.")
        )
    else:
        messages.success(request, _("Every booking is as it was made."))
    return redirect("portal:ops-books")


@require_POST
@for_operator
def pay(request: HttpRequest) -> HttpResponse:
    """Make a payout batch."""
    try:
        made = make_payout_batch(
            currency=request.POST.get("currency", ""),
            idempotency_key=request.POST.get("key", "").strip(),
            execution_date=date.fromisoformat(request.POST.get("on", "")),
            minimum=Decimal(request.POST.get("minimum", "")),
            now=timezone.now(),
        )
    except PlatformError as error:
        messages.error(request, str(error))
    except (ValueError, InvalidOperation):
        messages.error(request, _("Give a day and a least amount."))
    else:
        text = _("%(payments)s payments; %(waiting)s owners wait, because they have named no account.")
        messages.success(request, text % {"payments": made.payments, "waiting": len(made.without_account)})
    return redirect("portal:ops-books")


@require_safe
@for_operator
def batch_file(request: HttpRequest, batch_id: int, kind: str) -> HttpResponse:
    """The bank's file of a batch: "csv" or "xml" (ISO 20022 pain.001)."""
    try:
        content = payment_message(batch_id) if kind == "xml" else payment_csv(batch_id)
    except NotFound as error:
        raise Http404 from error
    except PlatformError as error:
        messages.error(request, str(error))
        return redirect("portal:ops-books")
    answer = HttpResponse(content, content_type="application/xml" if kind == "xml" else "text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="payout-{batch_id}.{kind}"'
    return answer
