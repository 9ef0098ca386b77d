"""Who may see which page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from fleet.queries.portfolio import OwnerView, owner_of_user

View = Callable[..., HttpResponse]


class OwnerRequest(HttpRequest):
    """A request of somebody who owns something here."""

    owner: OwnerView


def for_owner(view: View) -> View:
    """Let owners in, with `request.owner`; ask others to log in, or say what is missing."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        owner = owner_of_user(user_id=request.user.pk)
        if owner is None:
            if request.user.is_operator and request.path == "/my/":
                return redirect("portal:ops-live")
            return render(request, "portal/no_permission.html", {"needed": "owner"}, status=403)
        request.owner = owner  # type: ignore[attr-defined]
        return view(request, *args, **kwargs)

    return guarded


def for_operator(view: View) -> View:
    """Let operators in; tell others whose page it is."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if not request.user.is_operator:
            return render(request, "portal/no_permission.html", {"needed": "operator"}, status=403)
        return view(request, *args, **kwargs)

    return guarded
