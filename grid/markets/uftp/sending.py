"""Sending UFTP messages: signed with our key, to the endpoint of the participant."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from urllib.parse import urlsplit

import httpx

from common.errors import InvalidInput

TIMEOUT_S = 20.0


class NotTaken(InvalidInput):
    """The message could not be handed over; it is tried again."""

    code = "uftp_not_taken"


def send_message(xml: str, *, endpoint: str, own_domain: str, private_key: str, allow_insecure: bool) -> None:
    """Sign a message and hand it over.

    Raises:
        NotTaken: there is no usable key, or the participant does not take it.
    """
    from nacl.bindings import crypto_sign
    from nacl.exceptions import CryptoError
    from shapeshifter_uftp.transport import to_xml
    from shapeshifter_uftp.uftp import SignedMessage, UsefRole

    if urlsplit(endpoint).scheme != "https" and not allow_insecure:
        raise NotTaken(f"{endpoint} is not https.", field="endpoint", remedy="Give the participant an https address.")
    try:
        sealed = crypto_sign(xml.encode(), b64decode(private_key, validate=True))
    except (CryptoError, NotBase64, TypeError, ValueError) as error:
        raise NotTaken(
            "is no Ed25519 key of 64 bytes in base64.",
            field="UFTP_PRIVATE_KEY",
            remedy="Make one with shapeshifter-keypair, and set it in the environment.",
        ) from error
    signed = to_xml(SignedMessage(sender_domain=own_domain, sender_role=UsefRole.AGR, body=sealed))
    try:
        answer = httpx.post(
            endpoint, content=signed.encode(), headers={"Content-Type": "text/xml; charset=utf-8"}, timeout=TIMEOUT_S
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotTaken(f"{type(error).__name__}: {error}", field="endpoint", remedy="It is tried again.") from error
    if answer.status_code != 200:
        raise NotTaken(f"answered {answer.status_code}.", field="endpoint", remedy="It is tried again.")
