"""Where commands put a thing when no place is named."""

from __future__ import annotations

from django.utils import timezone

from fleet.operations.assets import DEFAULT_IDENTITY, register_default_place, sole_site_identity
from grid.operations.programmes import register_shipped_programmes


def site_or_default(named: str) -> str:
    """The site named; else the only one; else, on an empty database, a new one called `default` whose region offers the
    shipped programmes, so that the platform can be asked for something at once.

    Raises:
        InvalidInput: no site is named and there are several.
    """
    if named:
        return named
    if register_default_place() is not None:
        register_shipped_programmes(region_code=DEFAULT_IDENTITY, now=timezone.now())
    return sole_site_identity()
