"""/api/compute/offer: an agent offers its computer, and learns of a lease."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from compute_market.agent import wire
from compute_market.api.authentication import ComputerAuthentication, IsComputer, computer_id_of
from compute_market.api.messages import car_report, read_message
from compute_market.operations.offers import publish_offer, withdraw_offer
from compute_market.operations.rules import market_rules
from compute_market.queries.leases import LeaseTask, lease_task


@extend_schema(exclude=True)
class OfferDetail(APIView):
    """The one offer of the computer that speaks."""

    authentication_classes = [ComputerAuthentication]
    permission_classes = [IsComputer]

    def put(self, request: Request) -> Response:
        """Make or repeat the offer; answers with the computer's task, if it has one."""
        message = read_message(wire.OfferMessage, request)
        rules, now = market_rules(), timezone.now()
        offer = publish_offer(
            computer_id=computer_id_of(request),
            report=car_report(message),
            memory_mib=message.memory_mib,
            isolation=message.isolation,
            now=now,
        )
        task = lease_task(computer_id=computer_id_of(request))
        return Response(
            {
                "refused_because": offer.refused_because,
                "poll_s": rules.poll_s,
                "task": wire.to_json(task_message(task, (task.expires_at - now).total_seconds())) if task else None,
            }
        )

    def delete(self, request: Request) -> Response:
        """Take the offer back."""
        reason = request.query_params.get("reason", "agent_stopped").replace("\0", "")
        withdraw_offer(computer_id=computer_id_of(request), reason=reason, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


def task_message(task: LeaseTask, lease_s: float) -> wire.TaskMessage:
    """A task on the wire."""
    rules = market_rules()
    return wire.TaskMessage(
        lease_id=task.lease_id,
        fencing_token=task.fencing_token,
        job_id=task.job_id,
        lease_s=lease_s,
        report_s=rules.report_s,
        checkpoint_s=rules.checkpoint_s,
        program_sha256=task.program_sha256,
        memory_limit_mib=task.memory_limit_mib,
        cpu_limit_s=task.cpu_limit_s,
        checkpoint_sequence=task.checkpoint_sequence,
        checkpoint_sha256=task.checkpoint_sha256,
        next_slice_sequence=task.next_slice_sequence,
    )
