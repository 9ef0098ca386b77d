"""`manage.py simulate`: replay recorded charging sessions and prices, and compare ways of charging."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import date, time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from aggregator.core.replay.sessions import DepartureKnowledge, VehicleAssumptions
from aggregator.management.simulation.report import build_report, headline, promise_sentence
from aggregator.management.simulation.run import SimulationRequest, simulate
from aggregator.management.simulation.summary import TITLES, build_summary
from aggregator.management.simulation.tables import named_zone
from aggregator.management.solver_output import solver_output_on_stderr
from common.errors import PlatformError


class Command(BaseCommand):
    help = (
        "Replays recorded charging sessions and prices in virtual time through the planner, and compares uncontrolled "
        "charging, charging by price, and planned charging without and with discharge. Needs no database."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_file_arguments(parser)
        add_world_arguments(parser)
        add_vehicle_arguments(parser)

    def handle(self, **options: Any) -> None:
        out: Path = options["out"]
        try:
            with solver_output_on_stderr():
                result = simulate(build_request(options), self._show_progress)
            out.mkdir(parents=True, exist_ok=True)
            summary = json.dumps(build_summary(result), indent=2, ensure_ascii=False)
            (out / "summary.json").write_text(summary + "\n", encoding="utf-8")
            (out / "report.html").write_text(build_report(result), encoding="utf-8")
        except PlatformError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"--out {out}: cannot be written: {error.strerror}") from error
        for note in result.notes:
            self.stderr.write(note)
        self.stdout.write(headline(result))
        self.stdout.write(promise_sentence(result))
        self.stdout.write(f"Written: {out / 'summary.json'} and {out / 'report.html'}")

    def _show_progress(self, policy: str, fraction: float) -> None:
        """One line per policy on a terminal, a line every tenth otherwise."""
        tenth = int(fraction * 10)
        shown: tuple[str, int] = getattr(self, "_shown", ("", -1))
        if self.stderr.isatty():
            self.stderr.write(f"\r{TITLES[policy]:<20} {fraction:4.0%}", ending="\n" if fraction >= 1 else "")
        elif (policy, tenth) != shown:
            self.stderr.write(f"{TITLES[policy]}: {fraction:.0%}")
        self._shown = (policy, tenth)


def add_file_arguments(parser: ArgumentParser) -> None:
    """The files that go in and out."""
    parser.add_argument(
        "--sessions", type=Path, required=True, help="CSV of charging sessions (ACN-Data, or any with --mapping)"
    )
    parser.add_argument("--mapping", type=Path, help="JSON that says which column of the sessions holds what")
    parser.add_argument("--prices", type=Path, required=True, help="CSV of prices, one slot a line")
    parser.add_argument("--price-column", help="column of the prices, where several could be")
    parser.add_argument("--price-unit", help="such as EUR/MWh, if the column's name does not say it")
    parser.add_argument("--price-zone", type=zone_argument, help="zone of price times that are written without one")
    parser.add_argument("--factors", type=Path, help="CSV of emission factors, one slot a line")
    parser.add_argument("--factor-column", help="column of the factors, where several could be")
    parser.add_argument(
        "--factor-zone", type=zone_argument, help="local zone of the factors, for their hour of the week"
    )
    parser.add_argument("--skip-bad-rows", action="store_true", help="leave bad rows out, and say which")
    parser.add_argument("--out", type=Path, required=True, help="folder for summary.json and report.html")


def add_world_arguments(parser: ArgumentParser) -> None:
    """Where and when, limits and events."""
    parser.add_argument(
        "--zone", type=zone_argument, help="local zone of the prices' market (default: as their times are written)"
    )
    parser.add_argument("--from", dest="first_date", type=date_argument, help="first day of arrival, as recorded")
    parser.add_argument("--until", dest="last_date", type=date_argument, help="day after the last day of arrival")
    parser.add_argument("--site-import-kw", type=float, default=float("inf"), help="most that the site may draw")
    parser.add_argument(
        "--event", action="append", default=[], metavar="START,END,KW", help="reduction by so many kW; may be repeated"
    )
    parser.add_argument(
        "--event-notice-h", type=float, default=2.0, help="hours before its start at which an event is known"
    )
    parser.add_argument("--event-price", type=float, help="what a missed kWh of an event costs")
    parser.add_argument(
        "--publication",
        type=time_argument,
        default=time(13),
        help="local time at which the next day's prices are known",
    )
    parser.add_argument(
        "--departures",
        choices=[one.value for one in DepartureKnowledge],
        default="actual",
        help="what is known at arrival: the departure as it was, as it was estimated, or as could be forecast from that",
    )
    parser.add_argument(
        "--probability", type=float, default=0.95, help="with which a forecast departure is to be counted on"
    )
    parser.add_argument(
        "--need", choices=["requested", "delivered"], default="requested", help="which energy is the driver's need"
    )


def add_vehicle_arguments(parser: ArgumentParser) -> None:
    """What the records do not tell of the vehicles."""
    usual = VehicleAssumptions()
    parser.add_argument("--battery-kwh", type=float, default=usual.battery_kwh)
    parser.add_argument("--charge-kw", type=float, default=usual.charge_kw)
    parser.add_argument("--discharge-kw", type=float, default=usual.discharge_kw)
    parser.add_argument("--charge-efficiency", type=float, default=usual.charge_efficiency)
    parser.add_argument("--discharge-efficiency", type=float, default=usual.discharge_efficiency)
    parser.add_argument("--wear-per-kwh", type=float, help="in the prices' currency, per kWh discharged")
    parser.add_argument(
        "--floor-fraction",
        type=float,
        default=usual.floor_fraction,
        help="state of charge below which none is discharged",
    )
    parser.add_argument(
        "--filled-fraction", type=float, default=usual.filled_fraction, help="state of charge once the request is met"
    )


def build_request(options: dict[str, Any]) -> SimulationRequest:
    """The options as a request.

    Raises:
        InvalidInput: a number makes no sense.
    """
    if not options["site_import_kw"] > 0:
        raise CommandError("--site-import-kw must be above zero")
    vehicle = VehicleAssumptions(
        battery_kwh=options["battery_kwh"],
        charge_kw=options["charge_kw"],
        discharge_kw=options["discharge_kw"],
        charge_efficiency=options["charge_efficiency"],
        discharge_efficiency=options["discharge_efficiency"],
        floor_fraction=options["floor_fraction"],
        filled_fraction=options["filled_fraction"],
    )
    same = (
        "sessions mapping prices price_column price_unit price_zone factors factor_column factor_zone zone site_import_kw "
        "event_notice_h event_price probability first_date last_date need wear_per_kwh publication skip_bad_rows"
    )
    return SimulationRequest(
        **{name: options[name] for name in same.split()},
        events=tuple(options["event"]),
        departures=DepartureKnowledge(options["departures"]),
        vehicle=vehicle,
    )


def zone_argument(text: str) -> Any:
    """A time zone."""
    try:
        return named_zone(text, "zone")
    except PlatformError as error:
        raise ArgumentTypeError(str(error)) from error


def date_argument(text: str) -> date:
    """A date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"“{text}” is no date; write 2019-05-01") from None


def time_argument(text: str) -> time:
    """A time of day."""
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"“{text}” is no time of day; write 13:00") from None
