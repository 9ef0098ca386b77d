"""A portfolio behind the pages, people who look at it, and compiled texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

if TYPE_CHECKING:  # this file is read before Django is set up
    from django.test import Client

    from tests.portal_world import World

LOCALE = Path(__file__).resolve().parents[3] / "aggregator" / "portal" / "locale"


@pytest.fixture(scope="session", autouse=True)
def texts() -> None:
    """Compile catalogues that are newer than what was compiled, as `make` does."""
    for source in LOCALE.glob("*/LC_MESSAGES/django.po"):
        target = source.with_suffix(".mo")
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            with source.open("rb") as po, target.open("wb") as mo:
                write_mo(mo, read_po(po))


@pytest.fixture
def world(db: None) -> World:
    """Six cars, the first two of them the owner's."""
    from django.core.cache import cache
    from django.utils import timezone

    from tests.portal_world import make_world

    cache.clear()
    return make_world(cars=6, now=timezone.now())


@pytest.fixture
def owner(world: World) -> Client:
    """The owner's browser."""
    from django.test import Client

    browser = Client()
    browser.force_login(world.owner_user)
    return browser


@pytest.fixture
def operator(world: World) -> Client:
    """The operator's browser."""
    from django.test import Client

    browser = Client()
    browser.force_login(world.operator)
    return browser
