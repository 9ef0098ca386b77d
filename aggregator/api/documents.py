"""Settlement documents, the evidence behind each number, and disputes about them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.api.access import ClientView, client_name
from aggregator.api.events import KEY_HEADER
from aggregator.api.fields import InstantField
from aggregator.api.problems import problems
from aggregator.core.documents import as_csv, as_json, as_pdf
from aggregator.operations.disputes import evidence_of_asset, open_dispute
from aggregator.queries.documents import settlement_document
from common.errors import InvalidInput
from grid.queries import event
from grid.queries.disputes import dispute, dispute_evidence, disputes_of_event

TAG = "settlements"
REVISION = OpenApiParameter("revision", int, description="default: the latest")
LANGUAGE = OpenApiParameter("language", str, enum=["en", "ja"], description="of the words in a PDF; default: en")


class FigureSerializer(serializers.Serializer):
    """A number and the rule that it follows from."""

    name = serializers.CharField()
    value = serializers.JSONField(help_text="rounded amounts and energies as text")
    unit = serializers.CharField()
    origin = serializers.CharField()


class ColumnSerializer(serializers.Serializer):
    """A column and the rule that its numbers follow from."""

    name = serializers.CharField()
    unit = serializers.CharField()
    origin = serializers.CharField()


class TableSerializer(serializers.Serializer):
    """Rows of values under columns."""

    name = serializers.CharField()
    columns = ColumnSerializer(many=True)
    rows = serializers.ListField(child=serializers.ListField(child=serializers.JSONField()))


class DocumentSerializer(serializers.Serializer):
    """A settlement document."""

    document = serializers.CharField()
    document_version = serializers.IntegerField()
    number = serializers.CharField()
    facts = FigureSerializer(many=True)
    totals = FigureSerializer(many=True)
    tables = TableSerializer(many=True)
    evidence = serializers.DictField(child=serializers.CharField())
    sources = serializers.ListField(child=serializers.CharField())


class ReadingSerializer(serializers.Serializer):
    """One reading as it is kept; flagged ones are not used."""

    measured_at = InstantField()
    import_kwh = serializers.FloatField(allow_null=True)
    export_kwh = serializers.FloatField(allow_null=True)
    power_kw = serializers.FloatField(allow_null=True)
    flags = serializers.IntegerField()


class EvidenceSerializer(serializers.Serializer):
    """What an asset's numbers follow from. Per slot: its baseline, its metered energy, and whether that is proven."""

    event_id = serializers.IntegerField()
    asset_id = serializers.IntegerField()
    baseline_rule = serializers.CharField()
    baseline_rule_from = InstantField()
    baseline_days = serializers.ListField(child=InstantField(), help_text="starts of the same hours on the kept days")
    slot_starts = serializers.ListField(child=InstantField())
    baseline_kw = serializers.ListField(child=serializers.FloatField(allow_null=True))
    metered_kwh = serializers.ListField(child=serializers.FloatField())
    complete = serializers.ListField(child=serializers.BooleanField())
    readings = ReadingSerializer(many=True)


class DisputeRequestSerializer(serializers.Serializer):
    """What is doubted."""

    reason = serializers.CharField(max_length=1000)
    revision = serializers.IntegerField(required=False, min_value=1, max_value=32767)


class DisputeSerializer(serializers.Serializer):
    """A dispute; its evidence was frozen when it was opened."""

    dispute_id = serializers.IntegerField()
    event_id = serializers.IntegerField()
    revision = serializers.IntegerField()
    reason = serializers.CharField()
    raised_at = InstantField()
    evidence_sha256 = serializers.CharField()
    state = serializers.ChoiceField(["open", "upheld", "rejected"])
    resolution = serializers.CharField()
    resolved_at = InstantField(allow_null=True)


DISPUTE = {
    "dispute_id": 3,
    "event_id": 17,
    "revision": 1,
    "reason": "Slot 3 counts a charger that was switched off.",
    "raised_at": "2026-11-24T09:00:00Z",
    "evidence_sha256": "9f2c8e0d2a4b6c7e8f90112233445566778899aabbccddeeff00112233445566",
    "state": "open",
    "resolution": "",
    "resolved_at": None,
}
DOCUMENT_EXAMPLE = OpenApiExample(
    "A document",
    response_only=True,
    value={
        "document": "settlement",
        "document_version": 1,
        "number": "E-17 r1",
        "facts": [{"name": "target_kw", "value": 120.0, "unit": "kW", "origin": "the event"}],
        "totals": [
            {"name": "payment", "value": "10.7433", "unit": "EUR", "origin": "rule 5: energy + capacity − penalty"}
        ],
        "tables": [
            {
                "name": "shares",
                "columns": [{"name": "asset_id", "unit": "", "origin": ""}],
                "rows": [[412]],
            }
        ],
        "evidence": {"rule_version": "2026-11.1"},
        "sources": ["utility-dr from 2026-01-01: illustrative terms"],
    },
)
EVIDENCE_EXAMPLE = OpenApiExample(
    "One asset",
    response_only=True,
    value={
        "event_id": 17,
        "asset_id": 412,
        "baseline_rule": "meter_before",
        "baseline_rule_from": "2026-01-01T00:00:00Z",
        "baseline_days": [],
        "slot_starts": ["2026-11-23T18:00:00Z"],
        "baseline_kw": [7.4],
        "metered_kwh": [-0.9],
        "complete": [True],
        "readings": [
            {
                "measured_at": "2026-11-23T18:00:00Z",
                "import_kwh": 1000.0,
                "export_kwh": 200.0,
                "power_kw": 7.4,
                "flags": 0,
            }
        ],
    },
)


class SettlementDocument(ClientView):
    """A settlement as a document for people and programs."""

    required_alternate_scopes: ClassVar = {"GET": [["settlements:read"]]}

    @extend_schema(
        operation_id="get_event_settlement_document",
        summary="The settlement as a document, every number with its origin",
        tags=[TAG],
        parameters=[REVISION, LANGUAGE],
        responses={
            (200, "application/json"): DocumentSerializer,
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR),
            (200, "application/pdf"): OpenApiResponse(OpenApiTypes.BINARY),
            **problems(400, 404),
        },
        examples=[DOCUMENT_EXAMPLE],
    )
    def get(self, request: Request, event_id: int, kind: str = "json") -> HttpResponse:
        """As JSON; `document.csv` and `document.pdf` hold the same numbers."""
        language = request.query_params.get("language", "en")
        if language not in ("en", "ja"):
            raise InvalidInput(f"{language!r} is none.", field="language", remedy="Give en or ja.")
        found = settlement_document(
            event_id=event_id, revision=_number(request, "revision"), requested_by=client_name(request)
        )
        return rendered(found, kind, language) or Response(as_json(found))


def rendered(found: Any, kind: str, language: str) -> HttpResponse | None:
    """A document as a CSV or PDF file to be saved; None for any other kind."""
    makers = {"csv": ("text/csv; charset=utf-8", as_csv), "pdf": ("application/pdf", as_pdf)}
    if kind not in makers:
        return None
    content = as_csv(found) if kind == "csv" else as_pdf(found, language=language)
    answer = HttpResponse(content, content_type=makers[kind][0])
    answer["Content-Disposition"] = f'attachment; filename="{found.number.replace(" ", "-")}.{kind}"'
    return answer


class SettlementEvidence(ClientView):
    """What an asset's numbers follow from."""

    required_alternate_scopes: ClassVar = {"GET": [["settlements:read"]]}

    @extend_schema(
        operation_id="get_event_settlement_evidence",
        summary="Readings, baseline and meter behind an asset's numbers",
        tags=[TAG],
        parameters=[OpenApiParameter("asset_id", int, required=True)],
        responses={200: EvidenceSerializer, **problems(400, 404)},
        examples=[EVIDENCE_EXAMPLE],
    )
    def get(self, request: Request, event_id: int) -> Response:
        """Σ over assets of these numbers gives the slots of the settlement."""
        asset_id = _number(request, "asset_id")
        if asset_id is None:
            raise InvalidInput("is missing.", field="asset_id", remedy="Name a participant; the shares list them.")
        found = evidence_of_asset(event_id=event_id, asset_id=asset_id, requested_by=client_name(request))
        return Response(EvidenceSerializer(found).data)


class DisputeList(ClientView):
    """Disputes about an event's settlement."""

    required_alternate_scopes: ClassVar = {
        "GET": [["settlements:read"]],
        "POST": [["settlements:read", "events:write"]],
    }

    @extend_schema(
        operation_id="list_event_disputes",
        summary="Disputes about the settlement of an event, the latest first",
        tags=[TAG],
        responses={200: DisputeSerializer(many=True), **problems(404)},
        examples=[OpenApiExample("A dispute", response_only=True, value=DISPUTE)],
    )
    def get(self, request: Request, event_id: int) -> Response:
        """All of them."""
        event(event_id, requested_by=client_name(request))
        return Response(DisputeSerializer(disputes_of_event(event_id), many=True).data)

    @extend_schema(
        operation_id="open_event_dispute",
        summary="Dispute a settlement; its evidence is frozen",
        tags=[TAG],
        parameters=[KEY_HEADER],
        request=DisputeRequestSerializer,
        responses={201: DisputeSerializer, **problems(404, 409, 415)},
        examples=[
            OpenApiExample("Opened", response_only=True, status_codes=["201"], value=DISPUTE),
            OpenApiExample("A doubt", request_only=True, value={"reason": DISPUTE["reason"]}),
        ],
    )
    def post(self, request: Request, event_id: int) -> Response:
        """The same request under the same Idempotency-Key is the same dispute."""
        body = DisputeRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        client = client_name(request)
        event(event_id, requested_by=client)
        now = timezone.now()
        key = request.headers.get("Idempotency-Key") or f"{event_id}-{now.isoformat()}"
        if len(key) > 120:
            raise InvalidInput("is too long.", field="idempotency_key", remedy="Give at most 120 characters.")
        found = open_dispute(
            event_id=event_id,
            raised_by=client,
            idempotency_key=key,
            reason=body.validated_data["reason"],
            revision=body.validated_data.get("revision"),
            now=now,
        )
        return Response(DisputeSerializer(found).data, status=status.HTTP_201_CREATED)


class DisputeEvidence(ClientView):
    """The frozen evidence of a dispute."""

    required_alternate_scopes: ClassVar = {"GET": [["settlements:read"]]}

    @extend_schema(
        operation_id="get_dispute_evidence",
        summary="The frozen evidence of a dispute",
        tags=[TAG],
        responses={(200, "application/gzip"): OpenApiResponse(OpenApiTypes.BINARY), **problems(404)},
    )
    def get(self, request: Request, dispute_id: int) -> HttpResponse:
        """gzip of JSON lines: the document, then a line for every participant with its readings."""
        dispute(dispute_id, requested_by=client_name(request))
        answer = HttpResponse(dispute_evidence(dispute_id), content_type="application/gzip")
        answer["Content-Disposition"] = f'attachment; filename="dispute-{dispute_id}.jsonl.gz"'
        return answer


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput(f"{text!r} is no number.", field=name, remedy="Give a whole number, or leave it out.")
    return int(text)
