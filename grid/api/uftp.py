"""Where participants of UFTP (Shapeshifter) markets send their signed messages."""

from __future__ import annotations

import logging

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from grid.markets.uftp.receiving import MessageRefused, receive_message
from grid.tasks import request_uftp_sending

logger = logging.getLogger(__name__)


@csrf_exempt
@require_POST
def uftp_message(request: HttpRequest) -> HttpResponse:
    """200 once the message is kept; its answer follows to the sender's endpoint. Other statuses are the protocol's."""
    if not settings.UFTP_DOMAIN:
        return _plain(404, "UFTP is not in use here: UFTP_DOMAIN is not set.")
    if request.content_type not in ("text/xml", "application/xml"):
        return _plain(400, "Content-Type: send text/xml; charset=utf-8.")
    try:
        receive_message(request.body, own_domain=settings.UFTP_DOMAIN, now=timezone.now())
    except MessageRefused as refused:
        logger.warning("UFTP message refused: %s %s", refused.field, refused.message)
        return _plain(refused.status, f"{refused.field}: {refused.message} {refused.remedy}")
    request_uftp_sending()
    return HttpResponse(status=200)


def _plain(status: int, text: str) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")
