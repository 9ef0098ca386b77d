"""What the agent knows of its car: from its arguments, or from a file that the car's own systems keep up to date."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CarState:
    """None: the agent does not know, and what the platform knows counts alone."""

    plugged_in: bool = True
    soc_fraction: float | None = None
    departure_at: str | None = None


class Car:
    """The car's state, read anew each time.

    The file is a JSON object with any of `plugged_in`, `soc_fraction` (0 to 1) and `departure_at` (ISO 8601 with zone);
    what it does not say, or cannot be read, stays as the arguments said.
    """

    def __init__(
        self, *, soc_fraction: float | None = None, departure_in_s: float | None = None, file: Path | None = None
    ) -> None:
        departure_at = None
        if departure_in_s is not None:
            departure_at = (datetime.now(UTC) + timedelta(seconds=departure_in_s)).isoformat()
        self.given = CarState(True, soc_fraction, departure_at)
        self.file = file

    def state(self) -> CarState:
        """The state now."""
        if self.file is None:
            return self.given
        try:
            told = json.loads(self.file.read_text())
            return CarState(
                plugged_in=bool(told.get("plugged_in", self.given.plugged_in)),
                soc_fraction=told.get("soc_fraction", self.given.soc_fraction),
                departure_at=told.get("departure_at", self.given.departure_at),
            )
        except (OSError, ValueError, AttributeError):
            return self.given
