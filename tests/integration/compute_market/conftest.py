"""Fixtures of the computing market. Django is not set up yet when this file is read: it imports when it is used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest

if TYPE_CHECKING:
    from tests.integration.compute_market.garage import Garage


@pytest.fixture
def quick_market(settings: Any) -> None:
    """Leases of seconds, here and in processes that get `garage`'s environment."""
    from tests.integration.compute_market.garage import TIMES

    for name, value in TIMES.items():
        setattr(settings, name, value)


@pytest.fixture
def place(db: None) -> None:
    """Somewhere to park."""
    from tests.integration.compute_market.garage import prepare_place

    prepare_place()


@pytest.fixture(scope="session")
def computing_web(servers: None, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The web server on the test database, with quick leases, for all tests of a run: it takes seconds to start."""
    from django.db import connection

    from tests.integration.compute_market.garage import TIMES, web_server

    database = urlsplit(os.environ["DATABASE_URL"])
    own = urlunsplit(database._replace(path=f"/{connection.settings_dict['NAME']}"))
    times = {name: str(value) for name, value in TIMES.items()}
    environment = {**os.environ, **times, "DATABASE_URL": own, "PYTHONUNBUFFERED": "1"}
    with web_server(environment, tmp_path_factory.mktemp("computing") / "web.log") as url:
        yield url


@pytest.fixture
def garage(transactional_db: None, computing_web: str, quick_market: None, tmp_path: Path) -> Iterator[Garage]:
    """The web server runs, the market is cleared, and cars may park."""
    from tests.integration.compute_market.garage import Garage, market_clock, prepare_place

    prepare_place()
    garage = Garage(computing_web, tmp_path)
    try:
        with market_clock():
            yield garage
    finally:
        garage.stop()
