"""The examples of docs/openadr.md, run in a shell as a reader would."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aggregator.operations.clients import create_client
from grid.core.openadr.wishes import Portfolio
from grid.models import GridEvent, OpenAdrEvent, OpenAdrVen
from grid.operations.openadr.answers import answer_event
from tests.conformance.openadr.server import REPOSITORY, ROOT, web_server
from tests.integration.places import register_test_place

PAGE = REPOSITORY / "docs" / "openadr.md"
ANSWERED_AFTER = 'call "$VTN/reports?eventID=$EVENT"\n'


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_examples_work(platform_environment: dict[str, str], tmp_path: Path) -> None:
    register_test_place(now=datetime(2026, 1, 1, tzinfo=UTC))
    script = "".join(re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.S | re.M)).replace("/tmp/", f"{tmp_path}/")
    before, reports, after = script.partition(ANSWERED_AFTER)
    assert reports
    made = create_client(name="grid-co", role="bl")
    with web_server(platform_environment) as address:
        environment = {
            **platform_environment,
            "VTN": f"{address}{ROOT}",
            "CLIENT_ID": made.client_id,
            "CLIENT_SECRET": made.client_secret,
        }

        def run(text: str) -> str:
            done = subprocess.run(["bash", "-euc", text], env=environment, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            return done.stdout

        run(
            before
            + "declare -p VTN TOKEN PROGRAM EVENT START > "
            + str(tmp_path / "shell")
            + "; declare -f >> "
            + str(tmp_path / "shell")
        )
        (event,) = OpenAdrEvent.objects.all()
        answer_event(event.object_id, portfolio=lambda region: Portfolio(0.0, ()), now=datetime.now(UTC))
        resume = f"source {tmp_path / 'shell'}\n"
        (report,) = json.loads(run(resume + reports))
        assert report["resources"][0]["intervals"][0]["payloads"][0]["values"] == ["ACCEPTED"]
        assert GridEvent.objects.get().target_kw == 120
        run(resume + after)
    assert not OpenAdrEvent.objects.exists() and GridEvent.objects.get().state == "cancelled"
    assert OpenAdrVen.objects.get().targets == ["feeder-7"]
