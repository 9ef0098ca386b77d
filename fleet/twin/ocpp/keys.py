"""What a simulated station has to prove who it is: its key and certificates, and the roots that it trusts."""

from __future__ import annotations

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

# the words of 2.x for roots, and those of 1.6
PLATFORM_ROOTS = ("CSMSRootCertificate", "CentralSystemRootCertificate")


class StationKeys:
    """One station's secrets and trust.

    Args:
        identity: stands in what it asks for.
        root: PEM of the authority that it leaves the factory with; empty for none.
    """

    def __init__(self, identity: str, root: str = "", *, root_use: str = PLATFORM_ROOTS[0]) -> None:
        self.identity = identity
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._next_key: ec.EllipticCurvePrivateKey | None = None
        self.chain = ""
        self.roots: list[tuple[str, x509.Certificate]] = []
        if root:
            self.install(root_use, root)

    def install(self, use: str, pem: str) -> bool:
        """Trust a root; False if it is no certificate."""
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
        except ValueError:
            return False
        if (use, certificate) not in self.roots:
            self.roots.append((use, certificate))
        return True

    def hash_data(self, certificate: x509.Certificate) -> dict[str, str]:
        """How OCPP names a root, which has issued itself."""
        named = ocsp.OCSPRequestBuilder().add_certificate(certificate, certificate, hashes.SHA256()).build()
        return {
            "hashAlgorithm": "SHA256",
            "issuerNameHash": named.issuer_name_hash.hex(),
            "issuerKeyHash": named.issuer_key_hash.hex(),
            "serialNumber": f"{named.serial_number:x}",
        }

    def delete(self, hash_data: dict[str, str]) -> str:
        """Trust a root no more; the status of DeleteCertificate."""
        wanted = {name: value for name, value in hash_data.items() if name != "customData"}
        found = [each for each in self.roots if self.hash_data(each[1]) == wanted]
        if not found:
            return "NotFound"
        if len(self.platform_roots()) == 1 and found[0][0] in PLATFORM_ROOTS and self.chain:
            return "Failed"  # it would never find back
        self.roots.remove(found[0])
        return "Accepted"

    def platform_roots(self) -> list[x509.Certificate]:
        """What it trusts the central system by."""
        return [certificate for use, certificate in self.roots if use in PLATFORM_ROOTS]

    def request(self) -> str:
        """A certificate signing request for a key of its own that is made for it."""
        self._next_key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.identity)])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self._next_key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.PEM).decode()

    def take(self, chain: str) -> bool:
        """Take the certificate that was asked for: it must be for that key, and of an authority that is trusted."""
        try:
            certificate = x509.load_pem_x509_certificate(chain.encode())
        except ValueError:
            return False
        if self._next_key is None or certificate.public_key() != self._next_key.public_key():
            return False
        if not any(_issued(certificate, root) for root in self.platform_roots()):
            return False
        self.key, self._next_key, self.chain = self._next_key, None, chain
        return True

    def context(self, security_profile: int) -> ssl.SSLContext:
        """TLS of profile 2, or of 3 with its own certificate."""
        context = ssl.create_default_context()
        if roots := self.platform_roots():
            pem = "".join(root.public_bytes(serialization.Encoding.PEM).decode() for root in roots)
            context = ssl.create_default_context(cadata=pem)
        if security_profile == 3:
            private = self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            # the library reads keys from files alone
            with TemporaryDirectory() as folder:
                file = Path(folder) / "station.pem"
                file.touch(mode=0o600)
                file.write_text(private.decode() + self.chain)
                context.load_cert_chain(file)
        return context


def _issued(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def signed_by(content: bytes, signature: bytes, certificate_pem: str) -> bool:
    """Whether a firmware's signature (SHA-256, ECDSA or RSA) is that of the certificate's key."""
    key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, content, padding.PKCS1v15(), hashes.SHA256())
        else:
            return False
    except InvalidSignature:
        return False
    return True
