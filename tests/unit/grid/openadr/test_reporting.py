"""Reports that events ask for: when they are due and what they hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from grid.core.openadr.reporting import Metered, Status, due_reports, report_body
from grid.core.openadr.timing import Span

START = datetime(2026, 11, 25, 12, tzinfo=UTC)
STATUS = Status(-12.5, 40.0, 60.0, 30.0, 500.0, 0.61, 110.0, 90.0, "RUNNING_CURTAILED")


def event(intervals: int, *descriptors: dict[str, Any], **period: str) -> dict[str, Any]:
    return {
        "intervalPeriod": {"start": START.isoformat(), "duration": "PT1H", **period},
        "intervals": [{"id": 10 + n, "payloads": []} for n in range(intervals)],
        "reportDescriptors": list(descriptors),
    }


def due(body: dict[str, Any], hours: float) -> list[list[int]]:
    """The intervals of each report that is due so many hours after the start."""
    found = due_reports(body, START, START + timedelta(hours=hours))
    return [[number for number, _ in report.spans] for report in found]


def test_by_default_one_report_at_the_end_of_the_last_interval() -> None:
    body = event(3, {"payloadType": "READING"})
    assert due(body, 2.9) == [] and due(body, 3) == [[10, 11, 12]]
    assert due(event(3), 9) == []


def test_after_every_so_many_intervals_and_so_often() -> None:
    assert due(event(4, {"payloadType": "READING", "frequency": 1, "repeat": -1}), 2.5) == [[10], [11]]
    assert due(event(4, {"payloadType": "READING", "frequency": 2, "repeat": -1}), 9) == [[10, 11], [12, 13]]
    assert due(event(4, {"payloadType": "READING", "frequency": 1, "repeat": 2}), 9) == [[10], [11]]
    late = {"payloadType": "READING", "startInterval": 2, "frequency": 1, "repeat": -1}
    assert due(event(4, late), 9) == [[12], [13]]


def test_without_intervals_at_once_and_again_every_duration() -> None:
    once = event(0, {"payloadType": "READING"}, duration="PT0S")
    assert due(once, -0.1) == [] and due(once, 5) == [[0]]
    assert due(event(0, {"payloadType": "READING", "repeat": -1}), 2.5) == [[0], [1], [2]]


def test_what_falls_together_is_one_report_with_a_name_of_its_own() -> None:
    body = event(2, *({"payloadType": kind, "frequency": 1, "repeat": -1} for kind in ("READING", "USAGE")))
    found = due_reports(body, START, START + timedelta(hours=2))
    assert [report.payload_types for report in found] == [("READING", "USAGE")] * 2
    assert len({report.key for report in found}) == 2


def test_what_a_report_holds() -> None:
    kinds = (
        "READING",
        "BASELINE",
        "UP_REGULATION_AVAILABLE",
        "DOWN_REGULATION_AVAILABLE",
        "STORAGE_USABLE_CAPACITY",
        "STORAGE_CHARGE_LEVEL",
        "STORAGE_MAX_CHARGE_POWER",
        "STORAGE_MAX_DISCHARGE_POWER",
        "OPERATING_STATE",
        "USAGE",
        "DEMAND",
    )
    body = event(1, *({"payloadType": kind} for kind in kinds), duration="PT30M")
    (report,) = due_reports(body, START, START + timedelta(hours=1))

    def metered(span: Span) -> Metered:
        assert span == Span(START, START + timedelta(minutes=30))
        return Metered(-4.0)

    told = report_body(event_id="e", client_name="c", due=report, status=STATUS, metered=metered)
    (interval,) = told["resources"][0]["intervals"]
    assert interval["id"] == 10 and interval["intervalPeriod"] == {
        "start": "2026-11-25T12:00:00Z",
        "duration": "PT1800S",
    }
    values = {payload["type"]: payload["values"][0] for payload in interval["payloads"]}
    assert values == {
        "READING": -12.5,
        "BASELINE": 40.0,
        "UP_REGULATION_AVAILABLE": 60.0,
        "DOWN_REGULATION_AVAILABLE": 30.0,
        "STORAGE_USABLE_CAPACITY": 500.0,
        "STORAGE_CHARGE_LEVEL": 0.61,
        "STORAGE_MAX_CHARGE_POWER": 110.0,
        "STORAGE_MAX_DISCHARGE_POWER": 90.0,
        "OPERATING_STATE": "RUNNING_CURTAILED",
        "USAGE": -4.0,
        "DEMAND": -8.0,
        "DATA_QUALITY": "OK",
    }


def test_what_cannot_be_told_is_left_out_and_said_so() -> None:
    (report,) = due_reports(
        event(1, {"payloadType": "USAGE"}, {"payloadType": "MOOD"}), START, START + timedelta(hours=1)
    )
    told = report_body(event_id="e", client_name="c", due=report, status=STATUS, metered=lambda span: Metered(None))
    assert told["resources"][0]["intervals"][0]["payloads"] == [{"type": "DATA_QUALITY", "values": ["MISSING"]}]
