"""Stop the platform that `make up` runs, and wait until it is gone."""

from __future__ import annotations

import argparse
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from aggregator.management.supervisor.launching import wait_until
from aggregator.management.supervisor.run_directory import running_pid


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--timeout", type=float, default=20.0, help="seconds to wait before it is killed")

    def handle(self, *args: Any, **options: Any) -> None:
        directory = Path(settings.RUN_DIR)
        pid = running_pid(directory)
        if pid is None:
            self.stdout.write(f"Nothing runs in {directory}.")
            return
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: running_pid(directory) is None, timeout_s=options["timeout"], interval_s=0.1):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # its guardian ends what it leaves
            raise CommandError(f"Process {pid} did not stop within {options['timeout']:g} s and was killed.")
        self.stdout.write("Stopped.")
