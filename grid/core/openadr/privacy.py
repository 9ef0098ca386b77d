"""Who may see which object, and which of its targets (OpenADR 3.1, Object Privacy).

Targets are compared as `storable` text. A grid operator sees what is its own in full; a virtual end node sees what it
made, and programmes and events that have no targets or one that it was granted and asks for.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: `client_id` as the authorisation server knows it."""

    client_id: str
    is_business_logic: bool


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose an object is.

    Attributes:
        operators: client identifiers of the grid operators that see it; None: all of them do.
        clients: client identifiers of the virtual end nodes that it belongs to; None: it is for whoever has its targets.
        targets: its targets.
    """

    operators: frozenset[str] | None
    clients: frozenset[str] | None
    targets: frozenset[str]


def shown_targets(
    owned: Ownership, reader: Reader, *, requested: Set[str] | None, granted: Set[str]
) -> frozenset[str] | None:
    """Which of an object's targets a reader is shown; None if it does not see the object at all.

    Args:
        requested: the targets that the reader asks for; None or empty: it names none.
        granted: the targets that grid operators wrote on the reader's node and its resources.
    """
    wanted = requested or NOTHING
    if reader.is_business_logic:
        own = owned.operators is None or reader.client_id in owned.operators
        return owned.targets if own and wanted <= owned.targets else None
    if owned.clients is not None:
        own = reader.client_id in owned.clients
        return owned.targets if own and wanted <= owned.targets else None
    if not owned.targets:
        return NOTHING if not wanted else None
    matching = owned.targets & wanted & granted
    return matching or None
