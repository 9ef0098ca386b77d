"""Regions of one portfolio are planned by two workers over the real queue; one is killed in the middle of its work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from django.core.cache import cache
from django.utils import timezone

from aggregator.management.supervisor.launching import wait_until
from aggregator.models import Plan, PortfolioPlan
from aggregator.tasks import plan_portfolio
from fleet.models import CommandState, DeviceCommand
from tests.integration.aggregator.shared_limits import limit_import, park_portfolio

pytestmark = pytest.mark.django_db(transaction=True)

REPOSITORY = Path(__file__).resolve().parents[2]
REGIONS, VEHICLES, LIMIT_KW = 4, 48, 20.0


class Worker:
    """A Celery worker as a process group of its own; the second also keeps the clock, as `beat` does."""

    def __init__(self, name: str, environment: dict[str, str], folder: Path, *extra: str) -> None:
        self.log = folder / f"{name}.log"
        words = [
            "-m",
            "celery",
            "--app",
            "aggregator.celery",
            "worker",
            "--queues",
            "plans,celery",
            "--concurrency",
            "1",
        ]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *words, "--hostname", f"{name}@test", "--loglevel", "INFO", *extra],
                cwd=REPOSITORY,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def pieces(self) -> list[str]:
        """The pieces of the portfolio's plan that it has begun."""
        return [line for line in self.said.splitlines() if ": portfolio plan " in line or "] portfolio plan " in line]

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()


@pytest.fixture
def workers(platform_environment: dict[str, str], tmp_path: Path) -> Iterator[list[Worker]]:
    cache.clear()
    environment = {**platform_environment, "CELERY_VISIBILITY_TIMEOUT_S": "30"}
    beat = ("--beat", "--schedule", str(tmp_path / "beat"))
    both = [Worker("first", environment, tmp_path), Worker("second", environment, tmp_path, *beat)]
    yield both
    for worker in both:
        worker.stop()


def blocked(connection: psycopg.Connection) -> int:
    """How many clients of the database wait for a lock."""
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_killed_worker_costs_a_retry_and_no_promise(
    workers: list[Worker], platform_environment: dict[str, str]
) -> None:
    now = timezone.now()
    portfolio = park_portfolio(vehicles=VEHICLES, regions=REGIONS, now=now)
    limit_import(portfolio, LIMIT_KW, now=now)
    assert wait_until(lambda: all("ready." in worker.said for worker in workers), timeout_s=120), workers[0].said

    with (
        psycopg.connect(platform_environment["DATABASE_URL"]) as holder,
        psycopg.connect(platform_environment["DATABASE_URL"], autocommit=True) as watcher,
    ):
        plan_portfolio.delay(portfolio.pk, "schedule")
        assert wait_until(lambda: PortfolioPlan.objects.filter(state="allotted").exists(), timeout_s=120), workers[
            1
        ].said
        # whatever a worker does next, it stops before it can keep it
        holder.execute("LOCK TABLE aggregator_portfoliopart IN EXCLUSIVE MODE")
        assert wait_until(lambda: blocked(watcher) >= 2, timeout_s=120), workers[0].said
        kept_before = Plan.objects.count()
        workers[0].kill()
        holder.rollback()

    plan = PortfolioPlan.objects.get()
    assert kept_before < REGIONS
    assert wait_until(lambda: PortfolioPlan.objects.filter(pk=plan.pk, state="finished").exists(), timeout_s=180), (
        workers[1].said
    )

    plan.refresh_from_db()
    parts = list(plan.parts.order_by("region_id"))
    limited = np.isfinite(plan.import_limit_kw)
    assert limited.any()
    assert np.all(np.sum([part.power_kw for part in parts], axis=0)[limited] <= LIMIT_KW + 0.05)
    assert plan.gap is not None and plan.gap < 5e-3  # the killed worker's facts were kept: nothing had to be read anew
    # every region has its plan once, and no device was told twice
    assert sorted(row.region_id for row in Plan.objects.all()) == [part.region_id for part in parts]
    told = list(DeviceCommand.objects.exclude(state=CommandState.SUPERSEDED).values_list("asset_id", flat=True))
    assert told and len(told) == len(set(told))
    assert all(worker.pieces() for worker in workers)  # both took part
