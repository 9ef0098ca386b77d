"""What a station does with certificates and security profiles; the messages are nearly the same in every version."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fleet.twin.ocpp.settings import SettingRefused

if TYPE_CHECKING:
    from fleet.twin.ocpp.dialect import Dialect

Handler = Callable[[dict], dict]


class SecurityCalls:
    """The calls about certificates, and the rise from one security profile to a higher one."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.keys = dialect.keys

    def table(self) -> dict[str, Handler]:
        """The handlers by action."""
        return {
            "CertificateSigned": self.certificate_signed,
            "DeleteCertificate": lambda payload: {"status": self.keys.delete(payload["certificateHashData"])},
            "GetInstalledCertificateIds": self.installed,
            "InstallCertificate": self.install,
        }

    def certificate_signed(self, payload: dict) -> dict:
        """Take the certificate; one that does not suit is a security event."""
        if self.keys.take(payload["certificateChain"]):
            return {"status": "Accepted"}
        self.dialect.security_event(
            "InvalidChargePointCertificate" if self.old else "InvalidChargingStationCertificate"
        )
        return {"status": "Rejected"}

    @property
    def old(self) -> bool:
        """Whether this is 1.6."""
        return self.dialect.protocol == "ocpp1.6"

    def install(self, payload: dict) -> dict:
        """Trust another root."""
        taken = self.keys.install(payload["certificateType"], payload["certificate"])
        return {"status": "Accepted" if taken else "Rejected"}

    def installed(self, payload: dict) -> dict:
        """The roots that are trusted, of the kinds asked for."""
        asked = payload.get("certificateType")
        uses = [asked] if isinstance(asked, str) else asked
        found = [each for each in self.keys.roots if uses is None or each[0] in uses]
        if not found:
            return {"status": "NotFound"}
        named = [(use, self.keys.hash_data(certificate)) for use, certificate in found]
        if self.old:
            return {"status": "Accepted", "certificateHashData": [data for _, data in named]}
        chain = [{"certificateType": use, "certificateHashData": data} for use, data in named]
        return {"status": "Accepted", "certificateHashDataChain": chain}

    def ask(self) -> None:
        """Ask for a certificate."""
        payload = {"csr": self.keys.request()}
        if not self.old:
            payload["certificateType"] = "ChargingStationCertificate"
        self.dialect.requested.append(("SignCertificate", payload))


def check_profile(dialect: Dialect, wanted: int) -> None:
    """Whether a station can and will rise to a security profile.

    Raises:
        SettingRefused: it is lower than the present one, or what it needs is not installed.
    """
    if not max(dialect.security_profile, 1) <= wanted <= 3:
        raise SettingRefused("a security profile is never lowered")
    if wanted >= 2 and not dialect.keys.platform_roots():
        raise SettingRefused("no root certificate of the central system is installed")
    if wanted == 3 and not dialect.keys.chain:
        raise SettingRefused("there is no certificate of the station")
