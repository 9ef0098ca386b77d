"""What OpenADR clients may read, each within its privacy."""

from grid.queries.openadr.objects import (
    Caller,
    ObjectNotFound,
    Page,
    events,
    granted_targets,
    one,
    programs,
    reports,
    resources,
    subscriptions,
    vens,
)

__all__ = [
    "Caller",
    "ObjectNotFound",
    "Page",
    "events",
    "granted_targets",
    "one",
    "programs",
    "reports",
    "resources",
    "subscriptions",
    "vens",
]
