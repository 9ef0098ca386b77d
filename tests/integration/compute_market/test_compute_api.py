"""The two edges: tenants with OAuth2 tokens, agents with their computer's token."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from aggregator.operations.clients import create_client
from compute_market.agent import wire
from compute_market.models import Job, Lease
from compute_market.operations.matching import match_jobs
from compute_market.runners.wasm.samples import monte_carlo_input, sample_program
from tests.integration.compute_market.garage import ParkedCar, park_car

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("place", "servers")]

Headers = dict[str, str]


def token_of(client: Client, *, role: str = "tenant", name: str = "tenant one", scope: str = "") -> Headers:
    made = create_client(name=name, role=role)
    form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
    credentials = base64.b64encode(f"{made.client_id}:{made.client_secret}".encode()).decode()
    answer = client.post("/oauth/token/", form, headers={"Authorization": f"Basic {credentials}"})
    assert answer.status_code == 200, answer.content
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def job_body(**changes: Any) -> dict[str, Any]:
    return {
        "program": base64.b64encode(sample_program("monte_carlo_pi")).decode(),
        "input": base64.b64encode(monte_carlo_input(seed=1, points=1000)).decode(),
        "label": "pi",
        "cpu_limit_s": 600,
        "currency": "EUR",
        "price_cap_per_cpu_hour": "0.05",
        **changes,
    }


def post_job(client: Client, headers: Headers, *, key: str = "", **changes: Any) -> Any:
    given = headers | ({"Idempotency-Key": key} if key else {})
    return client.post("/api/jobs", json.dumps(job_body(**changes)), content_type="application/json", headers=given)


def agent_headers(car: ParkedCar) -> Headers:
    return {"Authorization": "Basic " + base64.b64encode(f"{car.computer}:{car.token}".encode()).decode()}


def put_offer(client: Client, headers: Headers, **fields: Any) -> Any:
    body = json.dumps({"memory_mib": 256, **fields})
    return client.put("/api/compute/offer", body, content_type="application/json", headers=headers)


def test_a_job_from_submission_to_result(client: Client) -> None:
    tenant = token_of(client)
    made = post_job(client, tenant, key="first")
    assert made.status_code == 201, made.content
    job = made.json()
    assert (job["state"], job["progress_fraction"], job["cost"]) == ("queued", None, "0.000000")
    assert job["cost_cap"] == "0.008333"
    assert made["Location"].endswith(f"/api/jobs/{job['id']}")
    assert post_job(client, tenant, key="first").status_code == 200
    no_result_yet = client.get(f"/api/jobs/{job['id']}/result", headers=tenant)
    assert (no_result_yet.status_code, no_result_yet.json()["field"]) == (409, "job_id")

    car = park_car(1)
    agent = agent_headers(car)
    assert put_offer(client, agent).json()["task"] is None
    match_jobs(now=timezone.now())
    task = put_offer(client, agent).json()["task"]
    base = f"/api/compute/leases/{task['lease_id']}"
    assert client.get(f"{base}/program", headers=agent).content == sample_program("monte_carlo_pi")
    assert client.get(f"{base}/input", headers=agent).content == monte_carlo_input(seed=1, points=1000)
    assert client.get(f"{base}/checkpoint", headers=agent).status_code == 404
    renewal = {"fencing_token": task["fencing_token"], "progress_fraction": 0.5}
    renewed = client.post(f"{base}/renewal", json.dumps(renewal), content_type="application/json", headers=agent)
    assert renewed.json()["stop_reason"] == ""
    assert client.get(f"/api/jobs/{job['id']}/", headers=tenant).json()["progress_fraction"] == 0.5
    output = b"\x01\x02\x03"
    sent = client.put(
        f"{base}/result",
        output,
        content_type="application/octet-stream",
        headers=agent
        | {
            wire.FENCE_HEADER: str(task["fencing_token"]),
            wire.SHA256_HEADER: hashlib.sha256(output).hexdigest(),
        },
    )
    assert sent.status_code == 201, sent.content

    result = client.get(f"/api/jobs/{job['id']}/result", headers=tenant).json()
    assert base64.b64decode(result["output"]) == output
    assert (result["sha256"], result["computer"]) == (hashlib.sha256(output).hexdigest(), car.computer)
    raw = client.get(f"/api/jobs/{job['id']}/result?raw=true", headers=tenant)
    assert (raw.content, raw["X-Content-SHA256"]) == (output, result["sha256"])


def test_a_form_with_files_is_a_job_too(client: Client) -> None:
    tenant = token_of(client)
    form = {
        "program": SimpleUploadedFile("pi.wasm", sample_program("monte_carlo_pi")),
        "input": SimpleUploadedFile("input", monte_carlo_input(seed=1, points=1000)),
        "cpu_limit_s": "600",
        "currency": "EUR",
        "price_cap_per_cpu_hour": "0.05",
    }
    made = client.post("/api/jobs", form, headers=tenant)
    assert made.status_code == 201, made.content
    assert made.json()["program_sha256"] == hashlib.sha256(sample_program("monte_carlo_pi")).hexdigest()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"program": "not base64!"}, "program"),
        ({"program": base64.b64encode(b"not wasm").decode()}, "program"),
        ({"cpu_limit_s": 0}, "cpu_limit_s"),
        ({"memory_limit_mib": 100_000}, "memory_limit_mib"),
        ({"currency": "XAU"}, "currency"),
        ({"price_cap_per_cpu_hour": "-1"}, "price_cap_per_cpu_hour"),
        ({"deadline_at": "2026-11-23T10:00:00"}, "deadline_at"),
        ({"deadline_at": "2020-01-01T00:00:00Z"}, "deadline_at"),
        ({"latency_class": "yesterday"}, "latency_class"),
        ({"price": 1}, "price"),
    ],
)
def test_a_bad_request_names_its_field(client: Client, changes: dict[str, Any], field: str) -> None:
    refused = post_job(client, token_of(client), **changes)
    assert refused.status_code == 400, refused.content
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["field"] == field
    assert not Job.objects.exists()


def test_a_reused_key_is_a_conflict(client: Client) -> None:
    tenant = token_of(client)
    assert post_job(client, tenant, key="one").status_code == 201
    clash = post_job(client, tenant, key="one", cpu_limit_s=60)
    assert (clash.status_code, clash.json()["type"]) == (409, "urn:problem:idempotency_key_reused")


def test_a_tenant_sees_only_its_own_jobs_and_needs_the_scope(client: Client) -> None:
    one, other = token_of(client), token_of(client, name="tenant two")
    job_id = post_job(client, one).json()["id"]
    assert client.get(f"/api/jobs/{job_id}", headers=other).status_code == 404
    assert client.delete(f"/api/jobs/{job_id}", headers=other).status_code == 404
    assert client.get("/api/jobs", headers=other).json()["results"] == []
    reader = token_of(client, name="reader", scope="jobs:read")
    assert post_job(client, reader).status_code == 403
    assert client.get("/api/jobs", headers=token_of(client, role="operator", name="operator")).status_code == 403
    assert client.get("/api/jobs").status_code == 401


def test_cancelling_is_final_and_may_be_repeated(client: Client) -> None:
    tenant = token_of(client)
    job_id = post_job(client, tenant).json()["id"]
    for _ in range(2):
        assert client.delete(f"/api/jobs/{job_id}", headers=tenant).status_code == 204
    assert client.get(f"/api/jobs/{job_id}", headers=tenant).json()["state"] == "cancelled"


def test_pages_cost_the_same_however_many_jobs(client: Client, django_assert_max_num_queries: Any) -> None:
    tenant = token_of(client)
    for number in range(12):
        assert post_job(client, tenant, key=str(number)).status_code == 201
    counts = []
    for size in (2, 10):
        with django_assert_max_num_queries(12) as captured:
            page = client.get(f"/api/jobs?page_size={size}", headers=tenant).json()
        assert len(page["results"]) == size
        counts.append(len(captured))
    assert counts[0] == counts[1]
    seen = {job["id"] for job in page["results"]}
    rest = client.get(page["next"], headers=tenant).json()
    assert rest["next"] is None
    assert len(seen | {job["id"] for job in rest["results"]}) == 12
    assert len(client.get("/api/jobs?state=completed", headers=tenant).json()["results"]) == 0


def bad_token(car: ParkedCar) -> Headers:
    return {"Authorization": "Basic " + base64.b64encode(f"{car.computer}:guess".encode()).decode()}


@pytest.mark.parametrize(
    "headers",
    [
        lambda car: {},
        bad_token,
        lambda car: {"Authorization": "Basic " + base64.b64encode(b"CPU-404:guess").decode()},
        lambda car: {"Authorization": "Basic ???"},
        lambda car: {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
    ],
)
def test_only_agents_get_in(client: Client, headers: Callable[[ParkedCar], Headers]) -> None:
    refused = put_offer(client, headers(park_car(1)))
    assert refused.status_code == 401
    assert refused["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"memory_mib": "much"}, "memory_mib"),
        ({"memory_mib": 0}, "memory_mib"),
        ({"soc_fraction": 80}, "soc_fraction"),
        ({"departure_at": "tomorrow"}, "departure_at"),
        ({"departure_at": "2026-11-23T10:00:00"}, "departure_at"),
    ],
)
def test_a_bad_offer_names_its_field(client: Client, body: dict[str, Any], field: str) -> None:
    refused = put_offer(client, agent_headers(park_car(1)), **body)
    assert (refused.status_code, refused.json()["field"]) == (400, field)


def test_a_lease_belongs_to_one_agent_and_one_token(client: Client) -> None:
    tenant, car, other = token_of(client), park_car(1), park_car(2)
    post_job(client, tenant)
    agent = agent_headers(car)
    put_offer(client, agent)
    match_jobs(now=timezone.now())
    lease = Lease.objects.get()
    base = f"/api/compute/leases/{lease.pk}"
    stranger = agent_headers(other)
    assert client.get(f"{base}/program", headers=stranger).status_code == 404
    message = {"fencing_token": lease.fencing_token, "sequence": 1, "cpu_s": "0.1", "elapsed_s": 1}

    def post_slice(headers: Headers, **changes: Any) -> Any:
        body = json.dumps({**message, **changes})
        return client.post(f"{base}/slices", body, content_type="application/json", headers=headers)

    assert post_slice(stranger).status_code == 404
    assert post_slice(agent, fencing_token=lease.fencing_token + 1).status_code == 409
    assert post_slice(agent, cpu_s="a lot").json()["field"] == "cpu_s"
    for cpu_s in ("NaN", "-1", "1e999999", "1\0"):
        refused = post_slice(agent, cpu_s=cpu_s)
        assert (refused.status_code, refused.json()["field"]) == (400, "cpu_s")
    assert post_slice(agent, elapsed_s=1e12).json()["field"] == "elapsed_s"
    assert post_slice(agent).status_code == post_slice(agent).status_code == 201
    Lease.objects.update(
        expires_at=timezone.now() - timedelta(seconds=1), granted_at=timezone.now() - timedelta(hours=1)
    )
    lost = post_slice(agent, sequence=2)
    assert (lost.status_code, lost.json()["type"]) == (409, "urn:problem:lease_lost")
