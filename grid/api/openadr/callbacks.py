"""/openadr3/callbacks/<VTN>: where outside VTNs tell us that something changed. A call only wakes; see `wake`."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from grid.api.openadr.problems import problem
from grid.operations.openadr.outside import UnknownVtn, wake

LONGEST_ECHO = 512


def callback_addresses(request_reading: Callable[[int], None]) -> list[URLPattern]:
    """The addresses, for a platform that reads a VTN, by its key, when it is asked to."""

    @csrf_exempt
    def called(request: HttpRequest, name: str) -> HttpResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if request.method == "GET":
            # text, so that no browser takes an echo for a page
            return HttpResponse(request.GET.get("echo", "")[:LONGEST_ECHO], content_type="text/plain; charset=utf-8")
        if request.method != "POST":
            return JsonResponse(problem(405, "Method Not Allowed", "Notifications are posted."), status=405)
        try:
            request_reading(wake(name=name, token=token, now=timezone.now()))
        except UnknownVtn as error:
            return JsonResponse(problem(404, "Not Found", error.message), status=404)
        return HttpResponse(status=200)

    return [path("<str:name>", called, name="openadr-callback")]
