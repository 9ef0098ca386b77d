"""Places and owners that integration tests start from, registered as the product registers them."""

from __future__ import annotations

from datetime import datetime

from fleet.operations.assets import RegisteredSite, register_node, register_owner, register_region, register_site
from grid.operations.programmes import register_shipped_programmes

REGION, NODE, SITE, OWNER = "NL-TEST", "NL-TEST-1", "DEPOT-1", "OWN-1"


def register_test_place(*, now: datetime, currency: str = "EUR") -> RegisteredSite:
    """A region with the shipped programmes, a node, an owner and a site of that owner."""
    register_region(code=REGION, name="Test", country="NL", time_zone="Europe/Amsterdam", currency=currency)
    register_node(code=NODE, region_code=REGION)
    register_owner(identity=OWNER, name="An owner")
    site = register_site(
        identity=SITE,
        kind="depot",
        grid_node_code=NODE,
        import_limit_kw=500.0,
        export_limit_kw=500.0,
        owner_identity=OWNER,
    )
    register_shipped_programmes(region_code=REGION, now=now)
    return site
