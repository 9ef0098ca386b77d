"""A gateway, and a loop for stations, for the tests of this folder.

This file is read before Django is set up; what needs Django is imported when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.ocpp.support import Background, RawStation, RunningGateway


@pytest.fixture
def background(transactional_db: None, servers: None) -> Iterator[Background]:
    """Where stations live."""
    from tests.integration.fleet.fleets import forget_readings
    from tests.integration.ocpp.support import Background

    forget_readings()
    loop = Background()
    yield loop
    loop.stop()


@pytest.fixture
def gateway(background: Background) -> Iterator[RunningGateway]:
    """A gateway on a free port."""
    from tests.integration.ocpp.support import RunningGateway

    running = RunningGateway()
    yield running
    running.stop()


@pytest.fixture
def connect(background: Background, gateway: RunningGateway) -> Callable[..., RawStation]:
    """Connect a station: `connect(identity, protocol, …)`."""
    from tests.integration.ocpp.support import RawStation

    def open_socket(identity: str, *protocols: str, **options: str) -> RawStation:
        return background.run(RawStation.connect(gateway.url, identity, *protocols, **options))

    return open_socket
