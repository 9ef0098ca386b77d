"""Registering where things stand and whose they are: regions, nodes, sites, owners."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from common.errors import InvalidInput
from fleet.models import GridNode, Owner, Region, Site, SiteKind
from fleet.operations.assets.checks import (
    find,
    registering,
    require_identity,
    require_not_negative,
    require_text,
    require_time_zone,
)

DEFAULT_IDENTITY = "default"
SITE_KINDS = tuple(SiteKind.values)
# a private site that is unlikely to bind before anybody has said what its connection can carry
DEFAULT_IMPORT_LIMIT_KW = 1_000.0


@dataclass(frozen=True, slots=True)
class RegisteredRegion:
    """A region as registered."""

    region_id: int
    code: str


@dataclass(frozen=True, slots=True)
class RegisteredNode:
    """A grid node as registered."""

    grid_node_id: int
    code: str


@dataclass(frozen=True, slots=True)
class RegisteredOwner:
    """An owner as registered."""

    owner_id: int
    identity: str


@dataclass(frozen=True, slots=True)
class RegisteredSite:
    """A site as registered."""

    site_id: int
    identity: str
    region_id: int


def register_region(*, code: str, name: str, country: str, time_zone: str, currency: str) -> RegisteredRegion:
    """Register a bidding zone or control area.

    Raises:
        InvalidInput: a field breaks a rule.
        AlreadyRegistered: the code is taken.
    """
    require_identity(code, field="code", longest=40)
    require_text(name, field="name", longest=120)
    require_time_zone(time_zone)
    if not re.fullmatch(r"[A-Z]{2}", country):
        raise InvalidInput(
            f"{country!r} is no country.", field="country", remedy="Give ISO 3166-1 alpha-2, such as NL."
        )
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise InvalidInput(f"{currency!r} is no currency.", field="currency", remedy="Give ISO 4217, such as EUR.")
    with registering(code, field="code"):
        region = Region.objects.create(code=code, name=name, country=country, time_zone=time_zone, currency=currency)
    return RegisteredRegion(region.pk, region.code)


def register_node(
    *,
    code: str,
    region_code: str,
    name: str = "",
    import_limit_kw: float | None = None,
    export_limit_kw: float | None = None,
) -> RegisteredNode:
    """Register a feeder or substation; a limit that is not given does not bind.

    Raises:
        InvalidInput, NotRegistered (the region), AlreadyRegistered.
    """
    require_identity(code, field="code")
    region = find(Region, field="region_code", code=region_code)
    for field, limit in (("import_limit_kw", import_limit_kw), ("export_limit_kw", export_limit_kw)):
        if limit is not None:
            require_not_negative(limit, field=field)
    with registering(code, field="code"):
        node = GridNode.objects.create(
            region=region,
            code=code,
            name=name or code,
            import_limit_kw=import_limit_kw,
            export_limit_kw=export_limit_kw,
        )
    return RegisteredNode(node.pk, node.code)


def register_owner(
    *, identity: str, name: str = "", email: str = "", payout_account: str = "", user_id: int | None = None
) -> RegisteredOwner:
    """Register a person or company who is paid for what they own; `user_id` is their login, if they have one.

    Raises:
        InvalidInput, AlreadyRegistered.
    """
    require_identity(identity)
    if email:
        try:
            validate_email(email)
        except ValidationError as error:
            raise InvalidInput(f"{email!r} is no address.", field="email", remedy="Write it as name@host.") from error
    with registering(identity):
        owner = Owner.objects.create(
            identity=identity,
            name=require_text(name or identity, field="name", longest=120),
            email=email,
            payout_account=payout_account,
            user_id=user_id,
        )
    return RegisteredOwner(owner.pk, owner.identity)


def register_site(
    *,
    identity: str,
    kind: str,
    grid_node_code: str,
    import_limit_kw: float,
    export_limit_kw: float,
    name: str = "",
    owner_identity: str = "",
    time_zone: str = "",
    latitude: float | None = None,
    longitude: float | None = None,
    emergency_reserve_kwh: float = 0.0,
) -> RegisteredSite:
    """Register a place behind one connection to the grid; its time zone is the region's unless given.

    Raises:
        InvalidInput, NotRegistered (the node or the owner), AlreadyRegistered.
    """
    require_identity(identity)
    if kind not in SiteKind.values:
        raise InvalidInput(
            f"{kind!r} is no kind of site.", field="kind", remedy=f"Give one of {', '.join(SiteKind.values)}."
        )
    require_not_negative(import_limit_kw, field="import_limit_kw")
    require_not_negative(export_limit_kw, field="export_limit_kw")
    require_not_negative(emergency_reserve_kwh, field="emergency_reserve_kwh")
    _check_position(latitude, longitude)
    node = find(GridNode, field="grid_node_code", code=grid_node_code)
    owner = find(Owner, field="owner_identity", identity=owner_identity) if owner_identity else None
    with registering(identity):
        site = Site.objects.create(
            identity=identity,
            name=name or identity,
            kind=kind,
            grid_node=node,
            owner=owner,
            time_zone=require_time_zone(time_zone or node.region.time_zone),
            latitude=latitude,
            longitude=longitude,
            import_limit_kw=import_limit_kw,
            export_limit_kw=export_limit_kw,
            emergency_reserve_kwh=emergency_reserve_kwh,
        )
    return RegisteredSite(site.pk, site.identity, node.region_id)


def register_default_place() -> RegisteredSite | None:
    """On an empty database, register a region, node, owner and site called `default`, so that a first charger has
    somewhere to stand; None where there is a site already.
    """
    with transaction.atomic():
        if Site.objects.exists():
            return None
        if not Owner.objects.filter(identity=DEFAULT_IDENTITY).exists():
            register_owner(identity=DEFAULT_IDENTITY, name="Default owner")
        if not Region.objects.filter(code=DEFAULT_IDENTITY).exists():
            # ZZ is ISO 3166's code for "no country"
            register_region(code=DEFAULT_IDENTITY, name="Default region", country="ZZ", time_zone="UTC", currency="EUR")
        if not GridNode.objects.filter(code=DEFAULT_IDENTITY).exists():
            register_node(code=DEFAULT_IDENTITY, region_code=DEFAULT_IDENTITY, name="Default node")
        return register_site(
            identity=DEFAULT_IDENTITY,
            name="Default site",
            kind=SiteKind.DEPOT,
            grid_node_code=DEFAULT_IDENTITY,
            owner_identity=DEFAULT_IDENTITY,
            import_limit_kw=DEFAULT_IMPORT_LIMIT_KW,
            export_limit_kw=DEFAULT_IMPORT_LIMIT_KW,
        )


def sole_site_identity() -> str:
    """The site that is meant when none is named.

    Raises:
        InvalidInput: there are several, or none.
    """
    identities = list(Site.objects.values_list("identity", flat=True)[:2])
    if len(identities) == 1 or DEFAULT_IDENTITY in identities:
        return identities[0] if len(identities) == 1 else DEFAULT_IDENTITY
    problem = "There are several sites." if identities else "There is no site."
    raise InvalidInput(problem, field="site", remedy="Name the site; the admin console lists them.")


def _check_position(latitude: float | None, longitude: float | None) -> None:
    if latitude is None and longitude is None:
        return
    if latitude is None or longitude is None or not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise InvalidInput(
            "is no position on the Earth.",
            field="latitude, longitude",
            remedy="Give both in degrees: -90 to 90 and -180 to 180, or neither.",
        )
