"""Firmware campaigns over real sockets and HTTP: stage by stage, and stopped by failures before the next stage is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import ThreadingHTTPServer

import pytest

from common.errors import Conflict, InvalidInput
from fleet.models import CampaignTarget, Charger, DeviceCommand, FirmwareCampaign
from fleet.operations.firmware_campaigns import (
    CampaignPlan,
    advance_campaigns,
    create_campaign,
    start_campaign,
    stop_campaign,
)
from fleet.twin.faults import Fault
from tests.conformance.service_stage import FileServer, Station, now
from tests.integration.ocpp.support import Background, RunningGateway, eventually, make_place


@pytest.fixture
def files() -> Iterator[str]:
    FileServer.files = {"/firmware": b"2.0.0\nnew"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), FileServer)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def stations(background: Background, gateway: RunningGateway) -> Iterator[list[Station]]:
    running = []
    for number, protocol in enumerate(("ocpp1.6", "ocpp2.0.1", "ocpp2.1")):
        running.append(Station(make_place(f"CP-{number}", protocol), gateway, background))
        eventually(lambda number=number: Charger.objects.filter(vendor="Twin").count() == number + 1)
        eventually(lambda number=number: Charger.objects.exclude(gateway_identity="").count() == number + 1)
    yield running
    for station in running:
        station.stop()


def plan(files: str, **changes: object) -> CampaignPlan:
    given = {"stage_fractions": (0.3, 1.0), "rest_s": 0, **changes}
    return CampaignPlan("Autumn", "Twin", "Twin", "2.0.0", f"{files}/firmware", **given)  # type: ignore[arg-type]


def states(campaign_id: int) -> list[str]:
    targets = CampaignTarget.objects.filter(stage__campaign_id=campaign_id).order_by("charger_id")
    return list(targets.values_list("state", flat=True))


def test_stages_follow_each_other_until_all_have_it(stations: list[Station], files: str) -> None:
    campaign_id = create_campaign(plan=plan(files), created_by="operator", now=now())
    assert advance_campaigns(now=now()) == 0
    start_campaign(campaign_id=campaign_id, now=now())
    with pytest.raises(Conflict):
        start_campaign(campaign_id=campaign_id, now=now())
    advance_campaigns(now=now())
    assert states(campaign_id) == ["asked", "waiting", "waiting"]
    eventually(lambda: advance_campaigns(now=now()) and states(campaign_id)[0] == "installed")
    eventually(lambda: advance_campaigns(now=now()) == 0)
    assert states(campaign_id) == ["installed"] * 3
    assert FirmwareCampaign.objects.get().state == "finished"
    eventually(lambda: set(Charger.objects.values_list("firmware_version", flat=True)) == {"2.0.0"})
    with pytest.raises(InvalidInput):
        create_campaign(plan=plan(files), created_by="operator", now=now())


def test_failures_stop_it_before_the_next_stage(stations: list[Station], files: str) -> None:
    stations[0].do("fault", fault=Fault.FAIL_FIRMWARE)
    campaign_id = create_campaign(plan=plan(files), created_by="operator", now=now())
    start_campaign(campaign_id=campaign_id, now=now())
    eventually(lambda: advance_campaigns(now=now()) and FirmwareCampaign.objects.get().state == "stopped")
    assert states(campaign_id) == ["failed", "waiting", "waiting"]
    assert "1 of 1 stations of stage 1" in FirmwareCampaign.objects.get().reason
    assert "InstallationFailed" in CampaignTarget.objects.get(state="failed").reason
    assert DeviceCommand.objects.filter(kind="update_firmware").count() == 1

    # somebody has looked at it and lets it go on
    start_campaign(campaign_id=campaign_id, now=now())
    eventually(lambda: advance_campaigns(now=now()) == 0)
    assert states(campaign_id) == ["failed", "installed", "installed"]


def test_silence_is_a_failure_and_absence_is_none(stations: list[Station], files: str) -> None:
    FileServer.files.clear()
    stations[0].stop()
    eventually(lambda: Charger.objects.filter(gateway_identity="").exists())
    campaign_id = create_campaign(
        plan=plan(files, stage_fractions=(1.0,), failure_limit_fraction=0.5), created_by="operator", now=now()
    )
    start_campaign(campaign_id=campaign_id, now=now())
    advance_campaigns(now=now())
    eventually(lambda: advance_campaigns(now=now()) == 0 or states(campaign_id).count("failed") == 2)
    campaign = FirmwareCampaign.objects.get()
    assert (campaign.state, states(campaign_id)) == ("stopped", ["waiting", "failed", "failed"])
    start_campaign(campaign_id=campaign_id, now=now())
    advance_campaigns(now=now() + timedelta(hours=2))
    assert CampaignTarget.objects.get(charger__identity="CP-0").reason == "not connected"
    assert FirmwareCampaign.objects.get().state == "finished"
    with pytest.raises(Conflict):
        stop_campaign(campaign_id=campaign_id, reason="too late", now=now())
