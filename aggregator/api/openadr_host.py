"""What the platform does for its OpenADR top node: who calls, how often, and what follows an event."""

from aggregator.api.throttle import OpenAdrThrottle
from aggregator.queries.clients import client_of_application
from aggregator.tasks import request_openadr_answer, request_plan
from grid.api.openadr.host import Host

HOST = Host(
    client_of_application=client_of_application,
    throttle=OpenAdrThrottle,
    request_answer=request_openadr_answer,
    request_plan=request_plan,
)
