"""/api/compute/leases/…: what an agent does under its lease. Every write is fenced and may be repeated."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common.errors import InvalidInput
from compute_market.agent import wire
from compute_market.api.authentication import ComputerAuthentication, IsComputer, computer_id_of
from compute_market.api.messages import (
    BytesParser,
    body_of,
    car_report,
    fraction_header,
    held_lease,
    integer_header,
    read_message,
)
from compute_market.operations.holding import UnknownLease
from compute_market.operations.leases import complete_job, give_back_lease, renew_lease, save_checkpoint
from compute_market.operations.slices import record_slice
from compute_market.queries.leases import checkpoint_of, input_of, program_of


@extend_schema(exclude=True)
class LeaseView(APIView):
    """What all of them share."""

    authentication_classes = [ComputerAuthentication]
    permission_classes = [IsComputer]


class LeaseProgram(LeaseView):
    """The module to run."""

    def get(self, request: Request, lease_id: int) -> HttpResponse:
        """Its bytes."""
        return bytes_answer(program_of(computer_id=computer_id_of(request), lease_id=lease_id), lease_id)


class LeaseInput(LeaseView):
    """The job's input."""

    def get(self, request: Request, lease_id: int) -> HttpResponse:
        """Its bytes."""
        return bytes_answer(input_of(computer_id=computer_id_of(request), lease_id=lease_id), lease_id)


class LeaseCheckpoint(LeaseView):
    """The last checkpoint of the job."""

    def get(self, request: Request, lease_id: int) -> HttpResponse:
        """Its bytes, with its sequence in a header."""
        found = checkpoint_of(computer_id=computer_id_of(request), lease_id=lease_id)
        sequence, content = found if found is not None else (0, None)
        answer = bytes_answer(content, lease_id)
        answer[wire.CHECKPOINT_HEADER] = str(sequence)
        return answer


class LeaseRenewal(LeaseView):
    """The lease's life."""

    def post(self, request: Request, lease_id: int) -> Response:
        """Renew it."""
        message = read_message(wire.RenewalMessage, request)
        now = timezone.now()
        renewed = renew_lease(
            held=held_lease(request, lease_id, message.fencing_token),
            report=car_report(message),
            progress_fraction=message.progress_fraction,
            now=now,
        )
        lease_s = max(0.0, (renewed.expires_at - now).total_seconds())
        return Response(wire.to_json(wire.RenewalAnswer(lease_s, renewed.stop_reason)))


class LeaseSlices(LeaseView):
    """Reports of work."""

    def post(self, request: Request, lease_id: int) -> Response:
        """Record one."""
        message = read_message(wire.SliceMessage, request)
        try:
            cpu_s = Decimal(message.cpu_s)
        except InvalidOperation as error:
            raise InvalidInput("is no decimal number", field="cpu_s", remedy='Send text such as "1.25".') from error
        recorded = record_slice(
            held=held_lease(request, lease_id, message.fencing_token),
            sequence=message.sequence,
            cpu_s=cpu_s,
            elapsed_s=message.elapsed_s,
            progress_fraction=message.progress_fraction,
            now=timezone.now(),
        )
        return Response(
            wire.to_json(wire.SliceAnswer(recorded.sequence, recorded.stop_reason)), status=status.HTTP_201_CREATED
        )


class LeaseCheckpointUpload(LeaseView):
    """A new checkpoint."""

    parser_classes = [BytesParser]

    def put(self, request: Request, lease_id: int, sequence: int) -> Response:
        """Keep it."""
        kept = save_checkpoint(
            held=held_lease(request, lease_id),
            sequence=sequence,
            content=body_of(request),
            sha256=request.headers.get(wire.SHA256_HEADER, ""),
            slice_sequence=integer_header(request, wire.SLICE_HEADER),
            progress_fraction=fraction_header(request, wire.PROGRESS_HEADER),
            now=timezone.now(),
        )
        return Response({"sequence": kept}, status=status.HTTP_201_CREATED)


class LeaseResult(LeaseView):
    """The job's result."""

    parser_classes = [BytesParser]

    def put(self, request: Request, lease_id: int) -> Response:
        """Hand it in."""
        job_id = complete_job(
            held=held_lease(request, lease_id),
            output=body_of(request),
            sha256=request.headers.get(wire.SHA256_HEADER, ""),
            now=timezone.now(),
        )
        return Response({"job_id": job_id}, status=status.HTTP_201_CREATED)


class LeaseReturn(LeaseView):
    """The end of a lease before its job's."""

    def post(self, request: Request, lease_id: int) -> Response:
        """Give it back."""
        message = read_message(wire.GiveBackMessage, request)
        give_back_lease(
            held=held_lease(request, lease_id, message.fencing_token),
            reason=message.reason,
            detail=message.detail,
            now=timezone.now(),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


def bytes_answer(content: bytes | None, lease_id: int) -> HttpResponse:
    """Bytes as they are.

    Raises:
        UnknownLease: there are none for this lease.
    """
    if content is None:
        raise UnknownLease(f"lease {lease_id} is not yours, has ended, or has no such part", field="lease_id")
    return HttpResponse(content, content_type="application/octet-stream")
