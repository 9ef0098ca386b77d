"""Certificates of stations: asked for over OCPP, signed by the worker that holds the authority, renewed in time, revoked."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta

from cryptography import x509
from django.db import transaction

from common.errors import InvalidInput, NotFound
from fleet.core.certificates import Authority, der_of, fingerprint, pem_of, requested_key, station_certificate
from fleet.models import CertificateState, CertificateUse, Charger, CommandKind, StationCertificate
from fleet.operations.authority import STATION_VALID, key_text, new_key
from fleet.operations.station_commands import queue_station_command

logger = logging.getLogger(__name__)

VALID_STATES = (CertificateState.ISSUED, CertificateState.INSTALLED)
RENEW_BEFORE = timedelta(days=30)
# a station that was asked to renew and does not is asked again after this
ASK_AGAIN_AFTER = timedelta(days=1)
DELIVER_WITHIN = timedelta(hours=12)


@transaction.atomic
def request_certificate(*, identity: str, csr: str, use: str, now: datetime) -> bool:
    """A station asks for a certificate; a worker will sign it. The same request again, before that, is the same one.

    Returns whether it will be considered: we vouch for stations, not for what they show to cars.
    """
    if use != CertificateUse.CHARGING_STATION:
        return False
    charger = Charger.objects.get(identity=identity)
    digest = hashlib.sha256(csr.encode()).hexdigest()
    StationCertificate.objects.get_or_create(
        charger=charger,
        request_digest=digest,
        state=CertificateState.REQUESTED,
        defaults={"use": use, "request_pem": csr, "requested_at": now},
    )
    return True


@transaction.atomic
def sign_waiting_requests(*, authority: Authority, now: datetime) -> int:
    """Sign what stations have asked for and queue the answers. Returns how many were signed; bad requests are refused."""
    waiting = (
        StationCertificate.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(state=CertificateState.REQUESTED)
        .select_related("charger")
        .order_by("pk")[:100]
    )
    signed = 0
    for row in waiting:
        try:
            key = requested_key(row.request_pem, identity=row.charger.identity)
            certificate = station_certificate(
                authority,
                key,
                identity=row.charger.identity,
                serial_number=x509.random_serial_number(),
                now=now,
                valid=STATION_VALID,
            )
        except InvalidInput as error:
            row.state, row.reason = CertificateState.REFUSED, str(error)[:200]
            row.save(update_fields=["state", "reason"])
            logger.warning("the certificate that %s asks for is refused: %s", row.charger.identity, error)
            continue
        _note_issued(row, certificate, now)
        row.save()
        queue_station_command(
            identity=row.charger.identity,
            kind=CommandKind.CERTIFICATE_SIGNED,
            parameters={"certificate_chain": row.certificate_pem, "certificate_id": row.pk},
            now=now,
            valid_for=DELIVER_WITHIN,
        )
        signed += 1
    return signed


@transaction.atomic
def issue_station_certificate(*, identity: str, authority: Authority, now: datetime) -> tuple[str, str]:
    """Make a key and a certificate for a station that cannot ask for one itself.

    Returns:
        the key and the certificate as PEM. The key is kept nowhere.

    Raises:
        NotFound: no station of that identity is registered.
    """
    charger = Charger.objects.filter(identity=identity).first()
    if charger is None:
        raise NotFound(f"{identity!r} is not registered.", field="identity", remedy="Register it with create_charger.")
    key = new_key()
    certificate = station_certificate(
        authority,
        key.public_key(),
        identity=identity,
        serial_number=x509.random_serial_number(),
        now=now,
        valid=STATION_VALID,
    )
    row = StationCertificate(charger=charger, requested_at=now)
    _note_issued(row, certificate, now)
    row.save()
    return key_text(key, ""), row.certificate_pem


def _note_issued(row: StationCertificate, certificate: x509.Certificate, now: datetime) -> None:
    row.state = CertificateState.ISSUED
    row.certificate_pem = pem_of(certificate)
    row.fingerprint = fingerprint(der_of(certificate))
    row.serial_number = f"{certificate.serial_number:x}"
    row.issued_at, row.expires_at = now, certificate.not_valid_after_utc


@transaction.atomic
def revoke_certificates(*, identity: str, reason: str, now: datetime, fingerprint: str = "") -> int:
    """Let a station in no more with a certificate, or with any. A connection that is open stays so until it ends.

    Returns how many were revoked.
    """
    rows = StationCertificate.objects.filter(charger__identity=identity, state__in=VALID_STATES)
    if fingerprint:
        rows = rows.filter(fingerprint=fingerprint)
    return rows.update(state=CertificateState.REVOKED, reason=reason[:200], revoked_at=now)


@transaction.atomic
def renew_expiring_certificates(*, now: datetime) -> int:
    """Ask connected stations whose newest certificate ends soon to ask for another. Returns how many were asked."""
    newest = (
        StationCertificate.objects.filter(state__in=VALID_STATES, use=CertificateUse.CHARGING_STATION)
        .exclude(charger__gateway_identity="")
        .order_by("charger_id", "-expires_at")
        .distinct("charger_id")
        .select_related("charger")
    )
    asked = 0
    for row in newest:
        if row.expires_at is None or row.expires_at > now + RENEW_BEFORE:
            continue
        recently = row.charger.evses.filter(
            asset__commands__kind=CommandKind.TRIGGER,
            asset__commands__parameters__message="SignChargingStationCertificate",
            asset__commands__queued_at__gt=now - ASK_AGAIN_AFTER,
        )
        if recently.exists():
            continue
        queue_station_command(
            identity=row.charger.identity,
            kind=CommandKind.TRIGGER,
            parameters={"message": "SignChargingStationCertificate", "evse": 0},
            now=now,
            valid_for=timedelta(hours=1),
        )
        asked += 1
    return asked
