"""What stations were told is safe: one line per acknowledged transaction event, to hold the platform to its word later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from fleet.twin.transactions import TransactionEvent


class Journal:
    """Appends acknowledged events to a file, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("a", buffering=1)

    def note(self, station: str, event: TransactionEvent) -> None:
        """Write down that the central system has acknowledged an event of a station."""
        line = {
            "station": station,
            "evse": event.transaction.evse_number,
            "kind": event.kind,
            "transaction": event.transaction.wire_id,
            "at": event.at.isoformat(),
        }
        self._file.write(json.dumps(line) + "\n")
