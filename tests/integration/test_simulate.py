"""`manage.py simulate` from files to summary and report, and every complaint about files that are not as they should be."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

PACIFIC = timezone(timedelta(hours=-7))
TOKYO = timezone(timedelta(hours=9))
FIRST_DAY = datetime(2019, 5, 6, tzinfo=PACIFIC)

ACN_COLUMNS = [
    "arrival",
    "departure",
    "requested_energy (kWh)",
    "delivered_energy (kWh)",
    "station_id",
    "session_id",
    "estimated_departure",
    "claimed",
]


def acn_rows():
    """Two working days with six stays each; the last of a day asks for more than can be charged."""
    for day in range(2):
        for number in range(6):
            arrives = FIRST_DAY + timedelta(days=day, hours=7.5 + 0.7 * number)
            leaves = arrives + timedelta(hours=8.25 - number)
            wanted = 50.0 if number == 5 else 8.0 + number
            said = leaves - timedelta(minutes=30 * (number - 2))
            yield [
                arrives.isoformat(sep=" "),
                leaves.isoformat(sep=" "),
                wanted,
                wanted / 2,
                f"CA-{number}",
                f"session-{day}-{number}",
                said.isoformat(sep=" "),
                "True",
            ]


def write(path, header, rows):
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def hourly_eur(path, days=14, missing=()):
    """Dutch-looking prices in spring 2023: cheap at noon, below zero on some days."""
    start = datetime(2023, 5, 1, tzinfo=UTC)
    slots = [start + timedelta(hours=hour) for hour in range(24 * days)]
    rows = [
        [f"{slot:%Y-%m-%dT%H:%M}Z", 110 - 12 * max(0, 8 - abs(slot.hour - 12)) - (20 if slot.day % 2 else 0)]
        for number, slot in enumerate(slots)
        if number not in missing
    ]
    return write(path, ["start_utc", "price_eur_per_mwh"], rows)


@pytest.fixture
def sessions(tmp_path):
    return write(tmp_path / "sessions.csv", ACN_COLUMNS, acn_rows())


@pytest.fixture
def prices(tmp_path):
    return hourly_eur(tmp_path / "prices.csv")


def simulate(sessions, prices, out, *more):
    told, progress = StringIO(), StringIO()
    arguments = ["--sessions", str(sessions), "--prices", str(prices), "--out", str(out), *more]
    call_command("simulate", *arguments, stdout=told, stderr=progress)
    return json.loads((out / "summary.json").read_text(encoding="utf-8")), told.getvalue(), progress.getvalue()


def complaint(sessions, prices, out, *more):
    with pytest.raises(CommandError) as caught:
        simulate(sessions, prices, out, *more)
    return str(caught.value)


def test_month_of_acn_sessions_with_dutch_prices(sessions, prices, tmp_path):
    event = "2023-05-09T12:00,2023-05-09T13:00,20"
    summary, told, progress = simulate(
        sessions, prices, tmp_path / "out", "--zone", "Europe/Amsterdam", "--event", event
    )
    policies = summary["policies"]
    assert list(policies) == ["uncontrolled", "price_only", "planned_one_way", "planned_v2g"]
    base, price_only = policies["uncontrolled"], policies["price_only"]
    one_way, v2g = policies["planned_one_way"], policies["planned_v2g"]
    assert base["drivers_satisfied"] == 10, "two ask for more than can be charged"
    assert summary["comparison"]["planned_v2g"]["sessions_lost"] == []
    assert summary["comparison"]["planned_one_way"]["sessions_lost"] == []
    assert one_way["total_cost"] < base["total_cost"]
    assert price_only["energy_cost"] < base["energy_cost"]
    assert one_way["energy_delivered_kwh"] == pytest.approx(base["energy_delivered_kwh"], abs=0.01)
    assert base["shifted_kwh"] == 0 and one_way["shifted_kwh"] > 1
    assert one_way["discharged_kwh"] == 0 < v2g["discharged_kwh"]
    assert v2g["wear_cost"] == pytest.approx(0.05 * v2g["discharged_kwh"], abs=1e-3)
    (delivery,) = v2g["event_delivery"]
    assert delivery["requested_kwh"] == 20
    assert delivery["delivery_ratio"] == pytest.approx(1.0, abs=0.05)
    assert base["event_delivery"][0]["delivered_kwh"] == 0
    assert base["co2_kg"] is None
    assert summary["input"]["starts_at"].startswith("2023-05-08T07:30:00+02:00"), (
        "Monday stays Monday, 07:30 stays 07:30"
    )
    assert summary["currency"] == "EUR"
    assert "Planning satisfies every one of them" in told
    assert "Planned, V2G: 100%" in progress


def test_report_is_one_accessible_page_that_needs_nothing_else(sessions, prices, tmp_path):
    simulate(sessions, prices, tmp_path / "out", "--event", "2023-05-08T12:00Z,2023-05-08T13:00Z,10")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)
    assert page.count('role="img"') == page.count("<title id=") == page.count("<desc id=") >= 6
    assert '<html lang="en">' in page
    for words in ("Planned, V2G", "Drivers satisfied", "Event 1", "What was assumed", "whole weeks"):
        assert words in page
    assert "NaN" not in page and "nan" not in re.sub(r"<style>.*?</style>", "", page)


def half_hourly_jpy(path, days=14):
    start = datetime(2025, 5, 5, tzinfo=TOKYO)
    rows = []
    for slot in range(48 * days):
        at = start + timedelta(minutes=30 * slot)
        kyushu = 0.01 if 10 <= at.hour < 14 else 14.0
        rows.append([f"{at:%Y-%m-%dT%H:%M}+09:00", slot % 48 + 1, 12.0, kyushu])
    return write(path, ["start_jst", "slot", "system_jpy_kwh", "kyushu_jpy_kwh"], rows)


def test_half_hourly_prices_in_yen_and_a_site_limit(sessions, tmp_path):
    prices = half_hourly_jpy(tmp_path / "jepx.csv")
    text = complaint(sessions, prices, tmp_path / "out")
    assert "several columns could hold the prices: system_jpy_kwh, kyushu_jpy_kwh" in text
    assert "--price-column kyushu_jpy_kwh" in text
    limit = ["--price-column", "kyushu_jpy_kwh", "--site-import-kw", "16"]
    summary, _, _ = simulate(sessions, prices, tmp_path / "out", *limit)
    assert summary["currency"] == "JPY"
    assert summary["input"]["price_slot_minutes"] == 30
    assert summary["input"]["zone"] == "UTC+09:00"
    assert all(policy["peak_kw"] <= 16.001 for policy in summary["policies"].values())
    assert summary["comparison"]["planned_one_way"]["drivers_lost"] == 0
    assert any("equal share" in line for line in summary["assumptions"])


def test_factors_of_another_year_stand_in_by_hour_of_the_week(sessions, prices, tmp_path):
    start = datetime(2021, 5, 31, 7, tzinfo=UTC)
    rows = [[(start + timedelta(minutes=5 * n)).isoformat(), 300 if n % 288 < 144 else 100] for n in range(288 * 8)]
    factors = write(tmp_path / "factors.csv", ["time_utc", "moer_g_per_kwh"], rows)
    more = ["--zone", "Europe/Amsterdam", "--factors", str(factors), "--factor-zone", "America/Los_Angeles"]
    summary, _, _ = simulate(sessions, prices, tmp_path / "out", *more)
    base = summary["policies"]["uncontrolled"]
    assert 0.1 * base["net_energy_kwh"] <= base["co2_kg"] <= 0.3 * base["net_energy_kwh"]
    assert any("hour of the week" in note for note in summary["notes"])
    costs = [policy["total_cost"] for policy in summary["policies"].values()]
    assert costs[3] < costs[2] <= costs[1] + 0.001 < costs[0], "V2G, one-way, price only, uncontrolled"


def test_any_csv_through_a_mapping(prices, tmp_path):
    rows = [
        ["A1", "08-05-2023 08:00", "08-05-2023 17:00", "9500,5"],
        ["A2", "08-05-2023 09:00", "08-05-2023 12:00", "4000"],
    ]
    table = tmp_path / "depot.csv"
    table.write_text("\n".join(";".join(row) for row in [["Nr", "Start", "Stop", "Energie"], *rows]), encoding="utf-8")
    mapping = tmp_path / "mapping.json"
    settings = {
        "arrival": "Start",
        "departure": "Stop",
        "session_id": "Nr",
        "requested_kwh": {"column": "Energie", "unit": "Wh"},
        "time_zone": "Europe/Amsterdam",
        "time_format": "%d-%m-%Y %H:%M",
        "delimiter": ";",
        "decimal": ",",
    }
    mapping.write_text(json.dumps(settings), encoding="utf-8")
    summary, _, _ = simulate(table, prices, tmp_path / "out", "--mapping", str(mapping))
    assert summary["input"]["requested_kwh"] == pytest.approx(13.5005, abs=1e-3)
    assert summary["input"]["moved_weeks"] == 0
    assert summary["policies"]["planned_v2g"]["drivers_satisfied"] == 2
    mapping.write_text(json.dumps(settings | {"arival": "Start"}), encoding="utf-8")
    assert "unknown: arival" in complaint(table, prices, tmp_path / "out", "--mapping", str(mapping))
    mapping.write_text(json.dumps(settings | {"arrival": "Begin"}), encoding="utf-8")
    text = complaint(table, prices, tmp_path / "out", "--mapping", str(mapping))
    assert "line 1: no column “Begin”" in text
    assert "Nr, Start, Stop, Energie" in text


def test_acn_data_as_its_own_portal_writes_it(prices, tmp_path):
    header = ["_id", "connectionTime", "disconnectTime", "kWhDelivered", "sessionID", "stationID", "timezone"]
    day = "Mon, 08 May 2023"
    rows = [[n, f"{day} {14 + n}:08:04 GMT", f"{day} 22:30:00 GMT", 6.5 + n, f"s{n}", f"p{n}", "US"] for n in range(3)]
    sessions = write(tmp_path / "portal.csv", header, rows)
    summary, _, _ = simulate(sessions, prices, tmp_path / "out")
    assert summary["input"]["starts_at"] == "2023-05-08T14:08:04+00:00"
    assert summary["input"]["requested_kwh"] == pytest.approx(22.5)
    assert summary["input"]["charging_points"] == 3
    assert summary["policies"]["planned_v2g"]["drivers_satisfied"] == 3


def test_bad_rows_are_told_by_line_and_reason_and_skipped_only_on_request(prices, tmp_path):
    rows = list(acn_rows())
    rows[1][1] = rows[1][0]  # leaves when it arrives: line 3
    rows[2][2] = "much"
    rows[3][0] = "2019-05-06 08:00"  # no zone
    rows[4][5] = rows[0][5]  # the same session again
    rows[5][2] = 50_000  # watt-hours
    sessions = write(tmp_path / "sessions.csv", ACN_COLUMNS, rows)
    text = complaint(sessions, prices, tmp_path / "out")
    assert "5 bad rows" in text
    for line, words in {
        3: "expected a time after the arrival",
        4: "column “requested_energy (kWh)”: found “much”, expected a number of kWh",
        5: "column “arrival”: found “2019-05-06 08:00”, expected a time zone",
        6: "session “session-0-0” stands in line 2 already",
        7: "is it in Wh?",
    }.items():
        assert re.search(rf"sessions.csv, line {line}: .*{re.escape(words)}", text), (line, text)
    assert "--skip-bad-rows" in text
    assert not (tmp_path / "out").exists()
    summary, _, progress = simulate(sessions, prices, tmp_path / "out", "--skip-bad-rows")
    assert summary["input"]["sessions"] == 7
    assert len([note for note in summary["notes"] if "sessions.csv, line" in note]) == 5
    assert "sessions.csv, line 6" in progress


def test_short_gap_in_prices_is_filled_and_told_but_a_long_one_is_refused(sessions, tmp_path):
    summary, _, _ = simulate(sessions, hourly_eur(tmp_path / "one.csv", missing={200}), tmp_path / "out")
    assert any("1 slot(s) from 2023-05-09 08:00 UTC are missing" in note for note in summary["notes"])
    text = complaint(sessions, hourly_eur(tmp_path / "many.csv", missing=range(200, 210)), tmp_path / "out")
    assert "line 202: 660 minutes after the slot before it; expected 60" in text


@pytest.mark.parametrize(
    ("header", "rows", "more", "words"),
    [
        (["start_utc", "price"], [["2023-05-01T00:00Z", 1]], [], "no column is named with a unit"),
        (["start_utc", "price"], [["2023-05-01T00:00Z", 1]], ["--price-column", "price"], "no unit in “price”"),
        (["hour", "eur_mwh"], [["2023-05-01T00:00Z", 1]], [], "no column with the start of each slot"),
        (["start", "eur_mwh"], [["2023-05-01T00:00", 1]], [], "found “2023-05-01T00:00”, expected a time zone"),
        (["start", "eur_mwh"], [["01/05/2023", 1]], [], "expected an ISO 8601 date and time"),
        (["start", "eur_mwh"], [["2023-05-01T00:00Z", "n/a"]], [], "column “eur_mwh”: found “n/a”, expected a number"),
        (["start", "eur_mwh"], [["2023-05-01T00:00Z", 1]] * 2, [], "the slot of line 2 again"),
        (["start", "eur_mwh"], [["2023-05-01T00:00Z", 1]], [], "a single slot"),
        (["start", "eur_mwh"], [["2023-05-01T00:00Z", 1], ["2023-05-03T00:00Z", 1]], [], "slots of 2880 minutes"),
        (["start", "eur_mwh"], [["2023-05-01T00:00Z", 1], ["2023-05-01T01:00Z", 1]], [], "too short for sessions"),
    ],
)
def test_bad_prices_say_what_was_expected(sessions, tmp_path, header, rows, more, words):
    prices = write(tmp_path / "prices.csv", header, rows)
    assert words in complaint(sessions, prices, tmp_path / "out", *more)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--event", "noon,late,5"], "“noon,late,5” is no event"),
        (["--event", "2023-05-08T14:00Z,2023-05-08T13:00Z,5"], "ends before it starts"),
        (["--event", "2023-09-08T12:00Z,2023-09-08T13:00Z,5"], "lies outside the replay"),
        (["--event", "2023-05-08T12:00Z,2023-05-08T13:00Z,0"], "asks for no power"),
        (["--site-import-kw", "-3"], "--site-import-kw must be above zero"),
        (["--from", "2020-01-01"], "arrivals from 2019-05-06 to 2019-05-07"),
        (["--charge-efficiency", "1.2"], "charge_efficiency"),
        (["--zone", "Mars/Olympus"], "there is no time zone “Mars/Olympus”"),
        (["--until", "soon"], "“soon” is no date"),
    ],
)
def test_bad_options_are_refused_with_a_reason(sessions, prices, tmp_path, more, words):
    assert words in complaint(sessions, prices, tmp_path / "out", *more)


def test_missing_and_unreadable_files_are_named(sessions, prices, tmp_path):
    assert "nowhere.csv: cannot be read" in complaint(tmp_path / "nowhere.csv", prices, tmp_path / "out")
    latin = tmp_path / "latin.csv"
    latin.write_bytes("Straße;Größe\n".encode("latin-1"))
    assert "is not UTF-8 text" in complaint(latin, prices, tmp_path / "out")
    assert "none of ACN-Data" in complaint(prices, prices, tmp_path / "out")


def test_estimates_instead_of_departures_lose_only_those_who_left_early(sessions, prices, tmp_path):
    summary, _, _ = simulate(sessions, prices, tmp_path / "out", "--departures", "estimated")
    for name in ("planned_one_way", "planned_v2g"):
        lost = summary["comparison"][name]
        assert lost["drivers_lost"] == lost["drivers_lost_who_left_before_they_said"]
    assert any("estimate that the driver gave" in line for line in summary["assumptions"])


def test_forecast_departures_keep_more_drivers_than_their_estimates_do(sessions, prices, tmp_path):
    summary, _, _ = simulate(
        sessions, prices, tmp_path / "out", "--departures", "forecast", "--probability", "0.5", "--until", "2019-05-14"
    )
    assert summary["input"]["probability"] == 0.5
    assert any("were forecast from the stays before them" in note for note in summary["notes"])
    for name in ("planned_one_way", "planned_v2g"):
        assert 0.5 <= summary["comparison"][name]["satisfied_kept_fraction"] <= 1.0
    assert any("after which 50% of the drivers leave" in line for line in summary["assumptions"])


def test_need_can_be_what_was_delivered(sessions, prices, tmp_path):
    summary, _, _ = simulate(sessions, prices, tmp_path / "out", "--need", "delivered", "--until", "2019-05-07")
    assert summary["input"]["sessions"] == 6
    assert summary["policies"]["uncontrolled"]["drivers_satisfied"] == 5
