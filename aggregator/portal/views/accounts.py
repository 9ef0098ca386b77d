"""Logging in and out, signing up, the language."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import check_for_language, override
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from django.views.i18n import set_language

from aggregator.models import User
from aggregator.operations.accounts import AddressTaken, choose_language, sign_up_owner
from aggregator.portal import throttle
from aggregator.portal.forms import LoginForm, SignUpForm
from fleet.queries.portfolio import owner_of_user


def _remember_language(response: HttpResponse, language: str) -> HttpResponse:
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=365 * 24 * 3600,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
    return response


def _wanted(request: HttpRequest, user: User) -> str:
    """Where to go after logging in: what was asked for, if it is ours, else the person's own first page."""
    target = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return target
    if owner_of_user(user_id=user.pk) is not None:
        return resolve_url("portal:my-now")
    return resolve_url("portal:ops-live" if user.is_operator else "portal:home")


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def log_in(request: HttpRequest) -> HttpResponse:
    """E-mail and password; slowed down after repeated failures."""
    form = LoginForm(request.POST or None)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            email = form.cleaned_data["email"]
            if throttle.too_many_tries(request, email):
                form.add_error(None, _("Too many tries. Wait five minutes, then try again."))
                status = 429
            elif user := authenticate(request, username=email, password=form.cleaned_data["password"]):
                throttle.forget_failures(request, email)
                login(request, user)
                return _remember_language(HttpResponseRedirect(_wanted(request, user)), user.language)
            else:
                throttle.note_failure(request, email)
                form.add_error(None, _("E-mail and password do not match. Check both; capitals matter."))
    wanted = request.POST.get("next") or request.GET.get("next", "")
    return render(request, "portal/accounts/login.html", {"form": form, "next": wanted}, status=status)


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("portal:home")


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    """A new owner; then on to enrolling a car."""
    form = SignUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            signed_up = sign_up_owner(**form.cleaned_data)
        except AddressTaken:
            form.add_error("email", _("There is an account with this address already. Log in instead."))
        else:
            user = User.objects.get(pk=signed_up.user_id)
            login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
            with override(user.language):
                messages.success(request, _("Welcome. Now enrol your car."))
            return _remember_language(redirect("portal:my-enrol"), user.language)
    status = 422 if form.is_bound else 200
    return render(request, "portal/accounts/sign_up.html", {"form": form}, status=status)


@require_POST
def change_language(request: HttpRequest) -> HttpResponse:
    """Django's own language switch, remembered with the person who is logged in."""
    language = request.POST.get("language", "")
    if request.user.is_authenticated and check_for_language(language):
        choose_language(user_id=request.user.pk, language=language)
    return set_language(request)
