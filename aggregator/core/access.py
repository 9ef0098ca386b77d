"""Which scopes a client's role may ask for. A token never carries more than its client's role allows."""

from __future__ import annotations

SCOPES_OF_ROLE: dict[str, tuple[str, ...]] = {
    "operator": ("events:read", "events:write", "fleet:read", "settlements:read"),
    # a charge point operator runs the stations; who asks for flexibility does not
    "cpo": ("stations:read", "stations:write"),
    "tenant": ("jobs:read", "jobs:write"),
    # business logic is the grid operator's side of OpenADR; a VEN listens and reports
    "bl": (
        "events:read",
        "events:write",
        "settlements:read",
        "read_all",
        "read_bl",
        "write_programs",
        "write_events",
        "write_subscriptions",
        "write_vens",
    ),
    "ven": (
        "events:read",
        "read_targets",
        "read_ven_objects",
        "write_reports",
        "write_subscriptions",
        "write_vens",
    ),
}


def scopes_of_role(role: str | None) -> tuple[str, ...]:
    """The scopes of a role; none for a client that has no role."""
    return SCOPES_OF_ROLE.get(role or "", ())
