"""A real gateway and the twin's stations, for the tests of this folder.

This file is read before Django is set up; what needs Django is imported when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.ocpp.support import Background, RunningGateway


@pytest.fixture
def background(transactional_db: None, servers: None) -> Iterator[Background]:
    """The loop in which stations live."""
    from tests.integration.fleet.fleets import forget_readings
    from tests.integration.ocpp.support import Background

    forget_readings()
    loop = Background()
    yield loop
    loop.stop()


@pytest.fixture
def gateway(background: Background) -> Iterator[RunningGateway]:
    """A gateway on a free port; a test may stop it before the end."""
    from tests.integration.ocpp.support import RunningGateway

    running = RunningGateway()
    yield running
    with suppress(RuntimeError):  # its loop is closed: it has been stopped
        running.stop()
