"""/api/jobs/: a tenant's computing jobs. Programs are WebAssembly modules that keep docs/compute-abi.md."""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import asdict
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.api.access import ClientView, client_name
from aggregator.api.fields import InstantField, StrictSerializer
from aggregator.api.paging import PAGE_PARAMETERS, page_of, page_request, page_response
from aggregator.api.problems import problems
from common.errors import InvalidInput
from compute_market.operations.jobs import JobIsClosed, JobRequest, UnknownJob, cancel_job, submit_job
from compute_market.queries import JobView, job_of_tenant, job_output, jobs_of_tenant
from compute_market.tasks import request_matching

TAG = "jobs"
# program and input at their largest, as base64 in JSON, and room for the rest
MOST_BODY_BYTES = 24 * 1024 * 1024
STATES = ("queued", "leased", "completed", "failed", "cancelled", "missed")


@extend_schema_field({"type": "string", "format": "byte"})
class BytesField(serializers.Field):
    """Bytes: base64 in JSON, a file in a multipart form."""

    def to_internal_value(self, data: Any) -> bytes:
        if hasattr(data, "read"):
            return bytes(data.read())
        if not isinstance(data, str):
            raise ValidationError("This is neither base64 text nor a file.")
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValidationError("This is no base64.") from error

    def to_representation(self, value: bytes) -> str:
        return base64.b64encode(value).decode()


class JobRequestSerializer(StrictSerializer):
    """A job to run."""

    program = BytesField(help_text="the WebAssembly module")
    input = BytesField(default=b"", help_text="what its init function gets")
    label = serializers.CharField(max_length=120, default="", allow_blank=True)  # type: ignore[assignment]
    cpu_limit_s = serializers.IntegerField(min_value=1, help_text="most CPU seconds that it may take and you pay for")
    memory_limit_mib = serializers.IntegerField(min_value=1, default=64, help_text="most linear memory")
    currency = serializers.CharField(max_length=3, help_text="ISO 4217")
    price_cap_per_cpu_hour = serializers.DecimalField(max_digits=12, decimal_places=6)
    deadline_at = InstantField(default=None, allow_null=True)
    latency_class = serializers.ChoiceField(["interactive", "batch"], default="batch")


class InterruptionSerializer(serializers.Serializer):
    """A computer that let the job go before it was done."""

    ended_at = serializers.DateTimeField()
    reason = serializers.CharField(help_text="departure, unplugged, low_battery, consent_withdrawn, agent_lost, …")
    detail = serializers.CharField()
    computer = serializers.CharField()


class JobSerializer(serializers.Serializer):
    """A job, how far it is, and what it costs."""

    id = serializers.IntegerField(source="job_id")
    label = serializers.CharField()  # type: ignore[assignment]
    state = serializers.ChoiceField(STATES)
    latency_class = serializers.CharField()
    progress_fraction = serializers.FloatField(allow_null=True, help_text="0 to 1; null: the program does not say")
    computer = serializers.CharField(help_text="where it runs or ran last; empty while it waits")
    cpu_s = serializers.DecimalField(max_digits=14, decimal_places=6, help_text="CPU seconds charged so far")
    cpu_limit_s = serializers.IntegerField()
    memory_limit_mib = serializers.IntegerField()
    currency = serializers.CharField()
    price_cap_per_cpu_hour = serializers.DecimalField(max_digits=12, decimal_places=6)
    cost = serializers.DecimalField(max_digits=16, decimal_places=6, help_text="so far")
    cost_cap = serializers.DecimalField(max_digits=16, decimal_places=6, help_text="most it can reach")
    energy_kwh = serializers.FloatField()
    submitted_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    deadline_at = serializers.DateTimeField(allow_null=True)
    program_sha256 = serializers.CharField()
    result_sha256 = serializers.CharField(help_text="empty until it is completed")
    failure_reason = serializers.CharField()
    interruptions = InterruptionSerializer(many=True)


class JobResultSerializer(serializers.Serializer):
    """What a job put out."""

    job_id = serializers.IntegerField()
    sha256 = serializers.CharField()
    computer = serializers.CharField()
    completed_at = serializers.DateTimeField()
    output = BytesField()


class JobList(ClientView):
    """Submitting and listing jobs."""

    required_alternate_scopes = {"GET": [["jobs:read"]], "POST": [["jobs:write"]]}
    parser_classes = (JSONParser, MultiPartParser)

    @extend_schema(
        operation_id="list_jobs",
        summary="Your jobs, the latest submitted first",
        parameters=[*PAGE_PARAMETERS, OpenApiParameter("state", str, enum=STATES)],
        responses={200: page_of(JobSerializer), **problems(400)},
        tags=[TAG],
    )
    def get(self, request: Request) -> Response:
        asked = page_request(request)
        views = jobs_of_tenant(
            tenant=client_name(request), before_id=asked.before_id, state=_asked_state(request), limit=asked.size + 1
        )
        return page_response(request, asked, [_shown(view) for view in views], [view.job_id for view in views])

    @extend_schema(
        operation_id="submit_job",
        summary="Submit a job",
        description="The same request under the same Idempotency-Key is the same job: 201 the first time, then 200.",
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request={"application/json": JobRequestSerializer, "multipart/form-data": JobRequestSerializer},
        responses={201: JobSerializer, 200: JobSerializer, **problems(400, 409)},
        examples=[
            OpenApiExample(
                "A small module",
                {
                    "program": "AGFzbQEAAAA=",
                    "input": "BwAAAAAAAADAxi0AAAAAAA==",
                    "label": "pi",
                    "cpu_limit_s": 600,
                    "memory_limit_mib": 64,
                    "currency": "EUR",
                    "price_cap_per_cpu_hour": "0.05",
                },
                request_only=True,
            )
        ],
        tags=[TAG],
    )
    def post(self, request: Request) -> Response:
        _check_length(request)
        tenant = client_name(request)
        body = JobRequestSerializer(data=_fields(request.data))
        body.is_valid(raise_exception=True)
        submitted = submit_job(
            tenant=tenant,
            idempotency_key=request.headers.get("Idempotency-Key") or secrets.token_urlsafe(16),
            request=JobRequest(**body.validated_data),
            now=timezone.now(),
        )
        if submitted.created:
            request_matching()
        view = job_of_tenant(tenant=tenant, job_id=submitted.job_id)
        assert view is not None
        location = request.build_absolute_uri(f"{request.path.rstrip('/')}/{submitted.job_id}")
        code = status.HTTP_201_CREATED if submitted.created else status.HTTP_200_OK
        return Response(_shown(view), status=code, headers={"Location": location})


class JobDetail(ClientView):
    """One job."""

    required_alternate_scopes = {"GET": [["jobs:read"]], "DELETE": [["jobs:write"]]}

    @extend_schema(
        operation_id="show_job",
        summary="Show a job",
        description="Its progress, what interrupted it and why, and its cost against its cap.",
        responses={200: JobSerializer, **problems(404)},
        tags=[TAG],
    )
    def get(self, request: Request, job_id: int) -> Response:
        return Response(_shown(_job(client_name(request), job_id)))

    @extend_schema(
        operation_id="cancel_job",
        summary="Cancel a job",
        description="Work done so far is charged. Cancelling again changes nothing.",
        responses={204: None, **problems(404, 409)},
        tags=[TAG],
    )
    def delete(self, request: Request, job_id: int) -> Response:
        cancel_job(tenant=client_name(request), job_id=job_id, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class JobResult(ClientView):
    """What a job put out."""

    required_alternate_scopes = {"GET": [["jobs:read"]]}

    @extend_schema(
        operation_id="fetch_job_result",
        summary="Fetch a job's result",
        description="As JSON with the output in base64, or with ?raw=true the bytes alone and their hash in a header.",
        parameters=[OpenApiParameter("raw", bool)],
        responses={
            (200, "application/json"): JobResultSerializer,
            (200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY),
            **problems(404, 409),
        },
        tags=[TAG],
    )
    def get(self, request: Request, job_id: int) -> HttpResponse:
        tenant = client_name(request)
        found = job_output(tenant=tenant, job_id=job_id)
        if found is None:
            view = _job(tenant, job_id)
            raise JobIsClosed(
                f"Job {job_id} is {view.state} and has no result.",
                field="job_id",
                remedy="Fetch the result once the job is completed.",
            )
        if request.query_params.get("raw", "").lower() in ("1", "true"):
            return HttpResponse(
                found.output, content_type="application/octet-stream", headers={"X-Content-SHA256": found.sha256}
            )
        return Response(JobResultSerializer(found).data)


def _job(tenant: str, job_id: int) -> JobView:
    view = job_of_tenant(tenant=tenant, job_id=job_id)
    if view is None:
        raise UnknownJob(f"you have no job {job_id}", field="job_id")
    return view


def _shown(view: JobView) -> dict[str, Any]:
    return JobSerializer(asdict(view)).data


def _asked_state(request: Request) -> str:
    state = request.query_params.get("state", "")
    if state and state not in STATES:
        raise InvalidInput(f"{state!r} is no state.", field="state", remedy=f"Give one of {', '.join(STATES)}.")
    return state


def _fields(data: Any) -> Any:
    """A form's fields as a plain object; JSON as it is."""
    return data.dict() if hasattr(data, "dict") else data


def _check_length(request: Request) -> None:
    if int(request.META.get("CONTENT_LENGTH") or 0) > MOST_BODY_BYTES:
        raise InvalidInput(
            f"The body has more than {MOST_BODY_BYTES} bytes.", field="program", remedy="Send a smaller job."
        )
