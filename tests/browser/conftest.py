"""A real browser against the real server: pages as people get them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # this file is read before Django is set up
    from playwright.sync_api import Browser, BrowserContext

    from tests.portal_world import World

FLAGS = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOCALE = Path(__file__).resolve().parents[2] / "aggregator" / "portal" / "locale"
AXE = Path(__file__).with_name("axe-4.14.1.min.js")


@pytest.fixture(scope="session", autouse=True)
def texts() -> None:
    """Compile catalogues that are newer than what was compiled, as `make` does."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    for source in LOCALE.glob("*/LC_MESSAGES/django.po"):
        target = source.with_suffix(".mo")
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            with source.open("rb") as po, target.open("wb") as mo:
                write_mo(mo, read_po(po))


@pytest.fixture(scope="module")  # not longer: its event loop would stand in the way of tests that run one of their own
def browser(chromium_path: str) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    # playwright's event loop runs in this thread; the ORM is used in it only between its calls
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=flags)
        yield chromium
        chromium.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def world(transactional_db: None) -> World:
    """Six cars, the first two of them the owner's."""
    from django.core.cache import cache
    from django.utils import timezone

    from tests.portal_world import make_world

    cache.clear()
    return make_world(cars=6, now=timezone.now())


@pytest.fixture
def visit(browser: Browser, live_server: Any) -> Iterator[Callable[..., BrowserContext]]:
    """Open a browser context for a user (None: a visitor) in a language; options are playwright's."""
    from django.conf import settings
    from django.test import Client

    opened = []

    def open_context(user: Any = None, language: str = "en", **options: Any) -> BrowserContext:
        context = browser.new_context(base_url=live_server.url, locale=language, **options)
        cookies = [{"name": "django_language", "value": language, "url": live_server.url}]
        if user is not None:
            client = Client()
            client.force_login(user)
            session = client.cookies[settings.SESSION_COOKIE_NAME].value
            cookies.append({"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url})
        context.add_cookies(cookies)
        opened.append(context)
        return context

    yield open_context
    for context in opened:
        context.close()
