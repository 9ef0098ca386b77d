"""Taking a signed UFTP message: whose it is, what it says, how it is judged and what is answered."""

from __future__ import annotations

import dataclasses
import logging
import re
from base64 import b64decode
from binascii import Error as NotBase64
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from common.clock import require_aware
from common.errors import InvalidInput
from grid.core.uftp import (
    BARRED_SENDER,
    INVALID_CONGESTION_POINT,
    INVALID_SENDER,
    UNKNOWN_RECIPIENT,
    UNKNOWN_REFERENCE,
    FlexFrame,
    frame_rejection,
)
from grid.operations.uftp.messages import Answer, Incoming, record_message
from grid.queries.uftp import ParticipantView, congestion_point_terms, participant

logger = logging.getLogger(__name__)

# a document type could make the parser read or grow what it should not; messages have none. Another encoding could
# hide one
_UNWANTED = re.compile(rb"<!DOCTYPE|<!ENTITY|^\s*<\?xml[^>]*encoding\s*=\s*[\"'](?!utf-8[\"'])", re.IGNORECASE)


class MessageRefused(InvalidInput):
    """The message cannot be answered: nobody is known to answer to. `status` is the protocol's HTTP status."""

    code = "uftp_message_refused"

    def __init__(self, status: int, message: str, *, field: str, remedy: str) -> None:
        super().__init__(message, field=field, remedy=remedy)
        self.status = status


def receive_message(body: bytes, *, own_domain: str, now: datetime) -> str:
    """Verify, judge and keep a message and its answer; what is kept is committed when this returns.

    Returns:
        Why it is rejected, in the protocol's words; empty if it is accepted.

    Raises:
        MessageRefused: not a signed message, of an unknown sender, or its signature does not hold.
    """
    envelope = _parsed(body, envelope=True)
    sender = participant(str(envelope.sender_domain), str(envelope.sender_role))
    if sender is None:
        raise MessageRefused(
            419,
            f"no participant {envelope.sender_domain} in the role {envelope.sender_role} is known.",
            field="SenderDomain",
            remedy="Ask us to register your domain, role, endpoint and public key.",
        )
    xml = _verified(envelope.body, sender)
    message = _parsed(xml, envelope=False)
    kind = type(message).__name__
    incoming = Incoming(
        participant_id=sender.participant_id,
        message_id=_identifier(message.message_id, "MessageID"),
        conversation_id=_identifier(message.conversation_id, "ConversationID"),
        kind=kind,
        xml=xml.decode(),
        rejection_reason=_rejection(message, sender, own_domain, now),
    )
    reason, new = record_message(
        incoming, answer=lambda reason: _answer(message, incoming, sender, own_domain, reason, now), now=now
    )
    if reason and new:
        logger.warning("%s %s of %s rejected: %s", kind, incoming.message_id, sender.domain, reason)
    return reason


def _parsed(xml: bytes, *, envelope: bool) -> Any:
    """The message that XML holds; of the types that UFTP has, and no other that this process may know."""
    from lxml import etree
    from shapeshifter_uftp.uftp import SignedMessage, request_response_map
    from xsdata.exceptions import ParserError
    from xsdata.formats.dataclass.parsers import XmlParser

    payloads = (*request_response_map, *request_response_map.values())
    types = [SignedMessage] if envelope else payloads
    try:
        xml.decode("utf-8")
        if _UNWANTED.search(xml):
            raise ValueError("it has a document type or is not UTF-8")
        root = etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True)).tag
        known = next((each for each in types if each.__name__ == root), None)
        if known is None:
            raise ValueError(f"{root} is not expected here")
        return XmlParser().from_bytes(xml, known)
    except (ParserError, TypeError, ValueError, SyntaxError) as error:
        raise MessageRefused(
            400,
            f"it cannot be read: {error}"[:300],
            field="body",
            remedy="Send XML as the Shapeshifter schema describes it.",
        ) from error


def _verified(sealed: bytes, sender: ParticipantView) -> bytes:
    """The signed XML, if the sender signed it."""
    from nacl.bindings import crypto_sign_open
    from nacl.exceptions import CryptoError

    try:
        return crypto_sign_open(sealed, b64decode(sender.public_key, validate=True))
    except (CryptoError, NotBase64, TypeError, ValueError) as error:
        raise MessageRefused(
            401,
            f"the signature does not hold by the key of {sender.domain}.",
            field="Body",
            remedy="Sign with the private key that belongs to the public key that you gave us.",
        ) from error


def _identifier(text: str | None, field: str) -> UUID:
    try:
        return UUID(text or "")
    except ValueError as error:
        raise MessageRefused(400, f"{text!r} is no UUID.", field=field, remedy="Send a UUID (RFC 4122).") from error


def _rejection(message: Any, sender: ParticipantView, own_domain: str, now: datetime) -> str:
    """Why a verified message is rejected; empty if it is not."""
    from shapeshifter_uftp import uftp

    if message.sender_domain != sender.domain:
        return INVALID_SENDER
    if not sender.enabled:
        return BARRED_SENDER
    if message.recipient_domain != own_domain:
        return UNKNOWN_RECIPIENT
    if isinstance(message, uftp.FlexRequest | uftp.FlexOrder):
        return _frame_rejection(message, sender, now) or (
            # no offer of ours stands, so no order can be for one
            UNKNOWN_REFERENCE if isinstance(message, uftp.FlexOrder) else ""
        )
    if isinstance(message, uftp.TestMessage | uftp.TestMessageResponse):
        return ""
    return f"Invalid Message: '{type(message).__name__}'"


def _frame_rejection(message: Any, sender: ParticipantView, now: datetime) -> str:
    terms = congestion_point_terms(sender.participant_id, str(message.congestion_point))
    if terms is None:
        return INVALID_CONGESTION_POINT
    try:
        length, expires = message.isp_duration, getattr(message, "expiration_date_time", None)
        frame = FlexFrame(
            isp_minutes=60 * (length.hours or 0) + (length.minutes or 0) + (length.seconds or 0) / 60,
            time_zone=message.time_zone,
            period=date(message.period.year, message.period.month, message.period.day),
            isps=tuple((int(isp.start), int(isp.duration)) for isp in message.isps),
            expires_at=None
            if expires is None
            else require_aware(datetime.fromisoformat(expires), "ExpirationDateTime"),
        )
        return frame_rejection(frame, terms, now)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return f"Invalid Message: '{type(message).__name__}'"


def _answer(
    message: Any, incoming: Incoming, sender: ParticipantView, own_domain: str, reason: str, now: datetime
) -> Answer | None:
    """The response that the protocol has for a message; None for what is a response itself."""
    from shapeshifter_uftp.transport import to_xml
    from shapeshifter_uftp.uftp import ACCEPTED, REJECTED, PayloadMessageResponse, request_response_map

    response_type = request_response_map.get(type(message))
    if response_type is None:
        return None
    identifier = uuid4()
    contents: dict[str, Any] = {
        "version": message.version,
        "sender_domain": own_domain,
        "recipient_domain": sender.domain,
        "time_stamp": now.isoformat(),
        "message_id": str(identifier),
        "conversation_id": str(incoming.conversation_id),
        "result": REJECTED if reason else ACCEPTED,
        "rejection_reason": reason or None,
    }
    common = {field.name for field in dataclasses.fields(PayloadMessageResponse)}
    for field in dataclasses.fields(response_type):
        if field.name not in common and field.name.endswith("_message_id"):
            contents[field.name] = str(incoming.message_id)
    return Answer(identifier, response_type.__name__, to_xml(response_type(**contents)))
