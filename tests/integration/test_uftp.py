"""UFTP with a grid operator of the shapeshifter-uftp package: its client and server over real HTTP, real signatures."""

from __future__ import annotations

import queue
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from uuid import uuid4

import httpx
import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from nacl.bindings import crypto_sign_keypair
from shapeshifter_uftp import ShapeshifterDsoAgrClient, ShapeshifterDsoService
from shapeshifter_uftp.exceptions import ClientTransportException
from shapeshifter_uftp.uftp import (
    FlexOrder,
    FlexOrderISP,
    FlexRequest,
    FlexRequestISP,
    TestMessage,
)
from xsdata.models.datatype import XmlDate, XmlDuration

from aggregator.management.supervisor.launching import LOOPBACK, ReservedPort
from grid import tasks
from grid.models import OutgoingState, UftpCongestionPoint, UftpOutgoing, UftpParticipant, UftpReceived
from tests.conformance.openadr.server import web_server
from tests.integration.places import register_test_place

pytestmark = pytest.mark.django_db(transaction=True)
DSO, AGR = "dso.example.nl", "aggregator.example.nl"
POINT = "ean.871685900012636543"
DSO_KEY, DSO_SECRET = (b64encode(key).decode() for key in crypto_sign_keypair())
AGR_KEY, AGR_SECRET = (b64encode(key).decode() for key in crypto_sign_keypair())


def _noted(self: Any, message: Any, *_: Any) -> None:
    self.heard.put(message)


ANSWERS = [name for name in dir(ShapeshifterDsoService) if name.startswith("process_")]
Operator = type("Operator", (ShapeshifterDsoService,), {name: _noted for name in ANSWERS})


@dataclass
class Market:
    """A grid operator with its server and client, and where the platform listens."""

    address: str
    client: ShapeshifterDsoAgrClient
    heard: queue.Queue[Any]
    participant: UftpParticipant

    def answer(self) -> Any:
        """What the operator hears next, once our task has sent what waits."""
        tasks.send_uftp_messages()
        return self.heard.get(timeout=30)


@pytest.fixture(scope="module")
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def market(platform_environment: dict[str, str], running: ExitStack, settings: Any) -> Iterator[Market]:
    settings.UFTP_DOMAIN, settings.UFTP_PRIVATE_KEY = AGR, AGR_SECRET
    settings.UFTP_ALLOW_INSECURE_ENDPOINTS = True
    held: Any = running
    if not hasattr(held, "address"):
        held.address = running.enter_context(web_server({**platform_environment, "UFTP_DOMAIN": AGR}))
    port = ReservedPort()
    operator = Operator(
        sender_domain=DSO,
        signing_key=DSO_SECRET,
        key_lookup_function=lambda domain, role: AGR_KEY,
        endpoint_lookup_function=lambda domain, role: f"{held.address}/shapeshifter/api/v3/message",
        host=LOOPBACK,
        port=port.number,
    )
    operator.heard = queue.Queue()
    participant = UftpParticipant.objects.create(
        domain=DSO, endpoint=f"http://{LOOPBACK}:{port.number}/shapeshifter/api/v3/message", public_key=DSO_KEY
    )
    UftpCongestionPoint.objects.create(entity_address=POINT, participant=participant, programme_code="utility-dr")
    port.release()
    operator.run_in_thread()
    try:
        yield Market(held.address, client_with(DSO_SECRET, held.address), operator.heard, participant)
    finally:
        operator.stop()


def client_with(secret: str, address: str, domain: str = DSO) -> ShapeshifterDsoAgrClient:
    return ShapeshifterDsoAgrClient(
        sender_domain=domain,
        signing_key=secret,
        recipient_domain=AGR,
        recipient_endpoint=f"{address}/shapeshifter/api/v3/message",
        recipient_signing_key=AGR_KEY,
    )


def tomorrow() -> XmlDate:
    return XmlDate.from_date((timezone.now() + timedelta(days=1)).date())


def flex_request(**changes: Any) -> FlexRequest:
    expires = (timezone.now() + timedelta(hours=2)).isoformat(timespec="seconds")
    contents: dict[str, Any] = {
        "isp_duration": XmlDuration("PT15M"),
        "period": tomorrow(),
        "congestion_point": POINT,
        "isps": [FlexRequestISP(min_power=-50_000, max_power=0, start=73, duration=4)],
        "revision": 1,
        "expiration_date_time": expires,
        "message_id": str(uuid4()),
    }
    return FlexRequest(**{**contents, **changes})


def test_a_test_message_is_answered(market: Market) -> None:
    message = TestMessage(message_id=str(uuid4()), conversation_id=str(uuid4()))
    market.client.send_test_message(message)
    answer = market.answer()
    assert type(answer).__name__ == "TestMessageResponse" and answer.result == "Accepted"
    assert answer.conversation_id == message.conversation_id and answer.sender_domain == AGR


def test_a_request_is_kept_accepted_and_answered_once_until_it_is_repeated(market: Market) -> None:
    request = flex_request()
    market.client.send_flex_request(request)
    answer = market.answer()
    assert (answer.result, answer.rejection_reason) == ("Accepted", None)
    assert answer.flex_request_message_id == request.message_id
    assert tasks.send_uftp_messages() == 0
    market.client.send_flex_request(request)
    assert market.answer().message_id == answer.message_id
    assert UftpReceived.objects.count() == 1 and UftpOutgoing.objects.count() == 1


def test_other_content_under_a_used_identifier_is_rejected_and_the_first_stands(market: Market) -> None:
    request = flex_request()
    market.client.send_flex_request(request)
    assert market.answer().result == "Accepted"
    market.client.send_flex_request(flex_request(message_id=request.message_id, revision=2))
    answer = market.answer()
    assert (answer.result, answer.rejection_reason) == ("Rejected", "Duplicate Identifier")
    row = UftpReceived.objects.get()
    assert row.rejection_reason == "" and 'Revision="1"' in row.xml


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"congestion_point": "ean.871685900099999999"}, "Invalid Congestion Point"),
        ({"expiration_date_time": "2026-01-01T00:00:00Z"}, "Expiration DateTime Out Of Bounds"),
        ({"expiration_date_time": "2100-01-01T00:00:00"}, "Invalid Message: 'FlexRequest'"),
        ({"expiration_date_time": "soon"}, "Invalid Message: 'FlexRequest'"),
        ({"isp_duration": XmlDuration("PT30M")}, "ISP Duration Rejected"),
        ({"time_zone": "Europe/London"}, "TimeZone Rejected"),
    ],
)
def test_what_cannot_be_served_is_rejected_with_its_reason(
    market: Market, changes: dict[str, Any], reason: str
) -> None:
    market.client.send_flex_request(flex_request(**changes))
    answer = market.answer()
    assert (answer.result, answer.rejection_reason) == ("Rejected", reason)
    assert UftpReceived.objects.get().rejection_reason == reason


def test_an_order_for_no_offer_of_ours_is_rejected(market: Market) -> None:
    order = FlexOrder(
        isp_duration=XmlDuration("PT15M"),
        period=tomorrow(),
        congestion_point=POINT,
        isps=[FlexOrderISP(power=-50_000, start=73, duration=4)],
        flex_offer_message_id=str(uuid4()),
        price="10.0000",
        currency="EUR",
        order_reference="order-1",
    )
    market.client.send_flex_order(order)
    answer = market.answer()
    assert (answer.result, answer.rejection_reason) == ("Rejected", "Unknown Reference")


def test_a_participant_that_is_switched_off_is_told_so(market: Market) -> None:
    UftpParticipant.objects.update(enabled=False)
    market.client.send_flex_request(flex_request())
    assert market.answer().rejection_reason == "Barred Sender"


@pytest.mark.parametrize(("domain", "status"), [(DSO, 401), ("stranger.example.nl", 419)])
def test_who_is_not_known_or_did_not_sign_is_refused_and_leaves_nothing(
    market: Market, domain: str, status: int
) -> None:
    other = b64encode(crypto_sign_keypair()[1]).decode()
    with pytest.raises(ClientTransportException) as refused:
        client_with(other, market.address, domain).send_flex_request(flex_request())
    assert refused.value.response.status_code == status
    assert not UftpReceived.objects.exists() and not UftpOutgoing.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        b"\xff\xfe<",
        b"<FlexRequest/>",
        b"<SignedMessage/>",
        b'<!DOCTYPE SignedMessage [<!ENTITY a "b">]><SignedMessage SenderDomain="&a;"/>',
        b'<?xml version="1.0" encoding="UTF-7"?><SignedMessage/>',
    ],
)
def test_what_is_no_signed_message_is_refused(market: Market, body: bytes) -> None:
    url = f"{market.address}/shapeshifter/api/v3/message"
    answer = httpx.post(url, content=body, headers={"Content-Type": "text/xml"})
    assert answer.status_code == 400 and answer.text.startswith("body: ")


def test_an_answer_waits_until_the_operator_takes_it(market: Market) -> None:
    UftpParticipant.objects.update(endpoint=f"http://{LOOPBACK}:1/nobody")
    market.client.send_flex_request(flex_request())
    assert tasks.send_uftp_messages() == 0
    waiting = UftpOutgoing.objects.get()
    assert waiting.state == OutgoingState.WAITING and waiting.attempts == 1 and "ConnectError" in waiting.last_error
    UftpParticipant.objects.update(endpoint=market.participant.endpoint)
    later = timezone.now() + timedelta(minutes=5)
    with mock.patch.object(tasks.timezone, "now", return_value=later):
        assert market.answer().result == "Accepted"
    assert UftpOutgoing.objects.get().sent_at == datetime.fromtimestamp(later.timestamp(), UTC)


def test_messages_leave_by_https_alone_unless_told_otherwise(market: Market, settings: Any) -> None:
    settings.UFTP_ALLOW_INSECURE_ENDPOINTS = False
    market.client.send_flex_request(flex_request())
    assert tasks.send_uftp_messages() == 0
    assert "is not https" in UftpOutgoing.objects.get().last_error


@pytest.mark.parametrize(
    "key",
    ["", "not base64", b64encode(b"short").decode(), DSO_SECRET],
    ids=["none", "not base64", "short", "secret"],  # drawn keys would name the test anew in every process
)
def test_a_key_that_cannot_be_one_is_not_taken(key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        UftpParticipant(domain=DSO, endpoint="https://dso.example.nl/", public_key=key).full_clean()
    assert set(refused.value.message_dict) == {"public_key"}


@pytest.mark.parametrize(
    ("field", "value"), [("time_zone", "Europe/Atlantis"), ("programme_code", "none"), ("isp_minutes", 0)]
)
def test_a_congestion_point_that_cannot_work_is_not_taken(field: str, value: Any) -> None:
    register_test_place(now=datetime(2026, 1, 1, tzinfo=UTC))
    participant = UftpParticipant(domain=DSO, endpoint="https://dso.example.nl/", public_key=DSO_KEY)
    participant.full_clean()
    participant.save()
    point = UftpCongestionPoint(entity_address=POINT, participant=participant, programme_code="utility-dr")
    point.full_clean()
    setattr(point, field, value)
    with pytest.raises(ValidationError):
        point.full_clean()
