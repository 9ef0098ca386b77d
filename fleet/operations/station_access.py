"""Who is let in: OCPP's security profiles. A station that has once come under a higher profile never comes under a lower."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from common.errors import InvalidInput, NotAllowed, NotFound
from fleet.core.certificates import fingerprint
from fleet.models import Charger, ChargerProtocol, StationCertificate
from fleet.operations.certificates import VALID_STATES
from fleet.operations.stations import (
    ChargerIdentity,
    UnknownDevice,
    WrongPassword,
    describe_charger,
    password_matches,
)

NO_PASSWORD, PASSWORD, ENCRYPTED, CERTIFICATE = 0, 1, 2, 3


class WeakProfile(NotAllowed):
    """The station must come under a higher security profile."""

    code = "weak_profile"


class BadCertificate(NotAllowed):
    """The certificate is not one that lets this station in."""

    code = "bad_certificate"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a station shows: a password (None: none), whether the connection is encrypted, its certificate in DER form.

    The certificate has been verified against our authority by TLS already.
    """

    password: str | None
    encrypted: bool = False
    certificate: bytes | None = None

    @property
    def security_profile(self) -> int:
        """OCPP's number for it."""
        if self.certificate is not None:
            return CERTIFICATE
        if self.password is None:
            return NO_PASSWORD
        return ENCRYPTED if self.encrypted else PASSWORD


def admit_station(
    *, identity: str, credentials: Credentials, allow_no_password: bool, now: datetime
) -> ChargerIdentity:
    """Let a station in over OCPP and say what is known of it.

    Args:
        allow_no_password: whether profile 0 is served at all; for demonstrations only.

    Raises:
        UnknownDevice: no station of that identity speaks OCPP here.
        WrongPassword: the password is not the station's, or there is none.
        BadCertificate: the certificate is another station's, revoked, or none that we have issued.
        WeakProfile: it has been let in under a higher profile before, or is registered for one.
    """
    charger = Charger.objects.filter(identity=identity).exclude(protocol=ChargerProtocol.MQTT).first()
    if charger is None:
        raise UnknownDevice(
            f"{identity[:60]!r} is not registered",
            field="identity",
            remedy="Register it with the command create_charger, or correct the identity in the station.",
        )
    profile = credentials.security_profile
    if profile == CERTIFICATE:
        _check_certificate(charger, credentials.certificate or b"", now)
    elif profile != NO_PASSWORD:
        _check_password(charger, credentials.password or "")
    elif not (allow_no_password and charger.security_profile == NO_PASSWORD):
        raise WrongPassword(f"{identity!r} shows no password", field="password", remedy="Set it in the station.")
    if profile < charger.security_profile:
        raise WeakProfile(
            f"{identity!r} comes under security profile {profile}, not {charger.security_profile}",
            field="security_profile",
            remedy="Connect it as before, or lower its profile with the command set_security_profile.",
        )
    if profile > charger.security_profile:
        Charger.objects.filter(pk=charger.pk, security_profile__lt=profile).update(security_profile=profile)
    return describe_charger(charger)


def _check_password(charger: Charger, password: str) -> None:
    if password_matches(password, charger.password_hash):
        return
    if charger.next_password_hash and password_matches(password, charger.next_password_hash):
        # the station has taken the new one up: the old one ends here
        Charger.objects.filter(pk=charger.pk, next_password_hash=charger.next_password_hash).update(
            password_hash=charger.next_password_hash, next_password_hash=""
        )
        return
    raise WrongPassword(
        f"the password of {charger.identity!r} is wrong", field="password", remedy="Set the station's password anew."
    )


def _check_certificate(charger: Charger, der: bytes, now: datetime) -> None:
    known = StationCertificate.objects.filter(
        charger=charger, fingerprint=fingerprint(der), state__in=VALID_STATES, expires_at__gt=now
    )
    if not known.exists():
        raise BadCertificate(
            f"the certificate that {charger.identity!r} shows is not one of its own that holds",
            field="certificate",
            remedy="Issue it a new one with the command issue_station_certificate.",
        )


@transaction.atomic
def set_security_profile(*, identity: str, security_profile: int) -> None:
    """Set by hand what a station has to come under, also a lower profile than it has had.

    Raises:
        NotFound: no such station.
        InvalidInput: there is no such profile.
    """
    if not NO_PASSWORD <= security_profile <= CERTIFICATE:
        raise InvalidInput("there are profiles 0 to 3.", field="security_profile")
    if not Charger.objects.filter(identity=identity).update(security_profile=security_profile):
        raise NotFound(f"{identity!r} is not registered.", field="identity")


@transaction.atomic
def offer_password(*, identity: str, password_hash: str) -> None:
    """A station is about to be given a new password: from now on both let it in, until it has used the new one.

    Raises:
        UnknownDevice: it is not registered.
    """
    if not Charger.objects.filter(identity=identity).update(next_password_hash=password_hash):
        raise UnknownDevice(f"{identity!r} is not registered", field="identity", remedy="Register it first.")
