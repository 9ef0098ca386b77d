"""What every page of the portal says to the browser about itself."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

# Everything is served by ourselves, and no script or style stands in a page.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
GUARDED_NAMESPACES = frozenset({"portal", "admin"})


class ContentSecurityPolicy:
    """Send the policy with the pages of the portal and the admin console; other packages answer for their own pages."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        match = request.resolver_match
        # what matches no address is answered by the portal's own page
        if match is None or GUARDED_NAMESPACES.intersection(match.namespaces):
            response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        if match is not None and "portal" in match.namespaces:
            response.headers.setdefault("Cache-Control", "no-store")
        return response
