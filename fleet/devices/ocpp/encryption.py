"""TLS of the gateway itself: security profile 2 (server certificate) and 3 (certificates on both sides) on one port."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from fleet.operations.authority import CA_CERTIFICATE, SERVER_CERTIFICATE, require_private

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0
# Part 2 of 2.0.1, A00.FR.318 and 319, as far as TLS 1.2 goes: ephemeral keys, and the two for stations that cannot.
CIPHERS = "ECDHE+AESGCM:AES128-GCM-SHA256:AES256-GCM-SHA384"


@dataclass(frozen=True, slots=True)
class EncryptionFiles:
    """Where key and certificate of the gateway are, and the certificate of the authority that vouches for stations."""

    server: Path
    authority: Path

    @classmethod
    def of(cls, directory: Path) -> EncryptionFiles:
        """The files that `create_ca` and `issue_server_certificate` have written."""
        return cls(directory / SERVER_CERTIFICATE, directory / CA_CERTIFICATE)


def server_context(files: EncryptionFiles) -> ssl.SSLContext:
    """A station may show a certificate, and one that our authority did not sign ends the handshake. Whether it has to
    show one is decided when it is known who it is.

    Raises:
        KeyExposed: others can read the key.
        OSError: a file is missing.
    """
    require_private(files.server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(files.server)
    context.load_verify_locations(files.authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


async def renew_certificate(context: ssl.SSLContext, files: EncryptionFiles, every_s: float = LOOK_EVERY_S) -> None:
    """Take up a new certificate when its file has changed; connections that are open keep the one they have."""
    known = _stamp(files.server)
    while True:
        await asyncio.sleep(every_s)
        stamp = _stamp(files.server)
        if stamp in (None, known):
            continue
        try:
            require_private(files.server)
            context.load_cert_chain(files.server)
        except Exception:
            logger.exception("the new certificate of the gateway cannot be used; the old one stays")
        else:
            logger.info("the gateway has a new certificate")
        known = stamp


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
