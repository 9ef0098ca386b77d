"""Certificates: taken over from a registry, handed on, retired once for a consumption."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from common.clock import require_aware
from common.errors import Conflict, InvalidInput, NotFound
from fleet.queries.places import region_by_code
from grid.models import Certificate, CertificateKind


class CertificateNotFound(NotFound):
    """No such lot."""

    code = "certificate_not_found"


class CertificateRetired(Conflict):
    """The lot was retired: it stands for a consumption and for nothing else any more."""

    code = "certificate_retired"


class CertificateDiffers(Conflict):
    """The serial number was recorded with other content."""

    code = "certificate_differs"


@dataclass(frozen=True, slots=True)
class CertificateInput:
    """A lot as a registry tells it; see `grid.models.Certificate` for the meaning of each field."""

    registry: str
    serial: str
    kind: str
    region_code: str
    produced_from: datetime
    produced_until: datetime
    kwh: Decimal
    holder: str = ""
    kg_per_kwh: float = 0.0
    technology: str = ""
    source: str = ""


def record_certificate(*, given: CertificateInput, now: datetime) -> int:
    """Take a lot over, once per registry and serial number; returns its identifier.

    Raises:
        InvalidInput: a field breaks a rule. CertificateDiffers: the lot was recorded with other content.
    """
    require_aware(given.produced_from, "produced_from")
    if given.kind not in CertificateKind.values:
        raise InvalidInput(
            f"{given.kind!r} is none.", field="kind", remedy=f"Give {', '.join(CertificateKind.values)}."
        )
    if given.produced_until <= given.produced_from:
        raise InvalidInput("ends before it starts.", field="produced_until", remedy="Give a time after produced_from.")
    if not given.kwh > 0:
        raise InvalidInput(f"{given.kwh} is no energy.", field="kwh", remedy="Give more than zero.")
    fields = {
        name: getattr(given, name) for name in given.__slots__ if name not in ("registry", "serial", "region_code")
    }
    row, created = Certificate.objects.get_or_create(
        registry=given.registry,
        serial=given.serial,
        defaults={**fields, "region_id": region_by_code(given.region_code).region_id, "recorded_at": now},
    )
    if not created and (row.kind, row.produced_from, row.produced_until) != (
        given.kind,
        given.produced_from,
        given.produced_until,
    ):
        raise CertificateDiffers(
            f"{given.serial!r} is another lot.", field="serial", remedy="Check the registry's file."
        )
    return row.pk


@transaction.atomic
def transfer_certificate(*, certificate_id: int, to: str, kwh: Decimal, part_serial: str, now: datetime) -> int:
    """Hand a lot, or a part of it under a serial number of its own, to another holder; the same part again is a no-op.

    Raises:
        CertificateNotFound, CertificateRetired, InvalidInput: it cannot be handed on.
    """
    part = _part(certificate_id, kwh, part_serial, now)
    if part.retired_at is not None:
        raise CertificateRetired(f"{part.serial!r} is retired.", field="certificate_id")
    Certificate.objects.filter(pk=part.pk).update(holder=to)
    return part.pk


@transaction.atomic
def retire_certificate(
    *,
    certificate_id: int,
    kwh: Decimal,
    part_serial: str,
    retired_for: str,
    consumption_from: datetime,
    consumption_until: datetime,
    now: datetime,
) -> int:
    """Retire a lot, or a part of it under a serial number of its own, for a consumption of the same calendar year (UTC).

    The same part for the same consumption again is a no-op. What is retired can never be sold, split or retired again.

    Raises:
        CertificateNotFound, CertificateRetired: there is nothing to retire.
        InvalidInput: more than there is, no consumer, or a consumption of another year.
    """
    part = _part(certificate_id, kwh, part_serial, now)
    if part.retired_at is not None:
        if (part.retired_for, part.consumption_from) == (retired_for, consumption_from):
            return part.pk
        raise CertificateRetired(f"{part.serial!r} is retired for {part.retired_for}.", field="certificate_id")
    if not retired_for:
        raise InvalidInput("is empty.", field="retired_for", remedy="Name the site that consumed.")
    if consumption_until <= consumption_from or part.produced_from.year != consumption_from.year:
        raise InvalidInput(
            f"A lot of {part.produced_from.year} does not stand for this consumption.",
            field="consumption_from",
            remedy="Retire certificates for consumption of the year that they were produced in.",
        )
    Certificate.objects.filter(pk=part.pk).update(
        retired_at=now, retired_for=retired_for, consumption_from=consumption_from, consumption_until=consumption_until
    )
    return part.pk


def _part(certificate_id: int, kwh: Decimal, part_serial: str, now: datetime) -> Certificate:
    """The lot itself if all of it is meant; else a part split off it, made once."""
    lot = Certificate.objects.select_for_update().filter(pk=certificate_id).first()
    if lot is None:
        raise CertificateNotFound(f"There is no certificate {certificate_id}.", field="certificate_id")
    earlier = Certificate.objects.select_for_update().filter(registry=lot.registry, serial=part_serial).first()
    if earlier is not None and earlier.split_from_id == lot.pk and earlier.kwh == kwh:
        return earlier
    if earlier is not None and earlier.pk != lot.pk:
        raise InvalidInput(
            f"{part_serial!r} is another lot.", field="part_serial", remedy="Give the part a new number."
        )
    if lot.kwh == kwh:
        return lot
    if lot.retired_at is not None:
        raise CertificateRetired(f"{lot.serial!r} is retired.", field="certificate_id")
    if not 0 < kwh < lot.kwh:
        raise InvalidInput(f"The lot holds {lot.kwh} kWh.", field="kwh", remedy="Give no more than that.")
    if earlier is not None:
        raise InvalidInput("A part needs a number of its own.", field="part_serial", remedy="Give it a new number.")
    part = Certificate(
        **{
            field.attname: getattr(lot, field.attname)
            for field in Certificate._meta.concrete_fields
            if field.attname not in ("id", "serial", "kwh", "split_from_id", "recorded_at")
        },
        serial=part_serial,
        kwh=kwh,
        split_from_id=lot.pk,
        recorded_at=now,
    )
    Certificate.objects.filter(pk=lot.pk).update(kwh=lot.kwh - kwh)
    part.save(force_insert=True)
    return part
