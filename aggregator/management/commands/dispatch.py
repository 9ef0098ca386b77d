"""`manage.py dispatch`: plan a portfolio that is given as files."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from aggregator.core.dispatch import plan_dispatch
from aggregator.core.dispatch.fleet.plan import warm_up
from aggregator.management.instances.reading import INSTANCE_HELP, read_instance
from aggregator.management.instances.writing import Answer, write_answer
from aggregator.management.solver_output import solver_output_on_stderr
from common.errors import PlatformError


class Command(BaseCommand):
    help = "Plans the portfolio in INSTANCE_DIR at least cost, with a proven gap. Needs no database and no platform."
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> Any:
        parser = super().create_parser(prog_name, subcommand, **options)
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = INSTANCE_HELP
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("instance", type=Path, metavar="INSTANCE_DIR")
        parser.add_argument("--out", type=Path, required=True, metavar="OUT_DIR", help="folder for the plan's files")
        parser.add_argument(
            "--gap", type=float, default=1e-3, help="proven relative gap that is good enough (default 1e-3)"
        )
        parser.add_argument(
            "--json", action="store_true", help="print the summary as one JSON object, without `missed`"
        )

    def handle(self, **options: Any) -> None:
        if not 0.0 <= options["gap"] < 1.0:
            raise CommandError("--gap: give a number from 0 up to but not including 1, such as 1e-3")
        out: Path = options["out"]
        try:
            problem = read_instance(options["instance"])
            with solver_output_on_stderr():
                self._say("loading the optimiser (the first time after an installation this takes some ten seconds)")
                warm_up()
                self._say(f"planning {len(problem.assets):,} assets over {problem.horizon.steps} steps")
                answer = Answer.of(plan_dispatch(problem, gap=options["gap"]))
            told = write_answer(problem, answer, out)
        except PlatformError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"--out {out}: cannot be written: {error.strerror}") from error
        if options["json"]:
            brief = {name: value for name, value in told.items() if name not in ("missed", "reserve_kw")}
            self.stdout.write(json.dumps(brief | {"missed_count": len(answer.missed)}))
            return
        self.stdout.write(
            f"cost {answer.cost:,.4f}, no plan costs less than {answer.lower_bound:,.4f} (gap {answer.gap:.2e}); "
            f"{len(answer.missed):,} promises missed; {answer.wall_s:.2f} s"
        )
        self.stdout.write(f"Written: {out / 'setpoints.npy'}, {out / 'summary.json'}")

    def _say(self, text: str) -> None:
        self.stderr.write(text)
