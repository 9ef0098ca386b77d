"""Make and drop the days of readings and messages at once, as the hourly task does."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from fleet.tasks import upkeep_partitions


class Command(BaseCommand):
    help = "Make the coming days' partitions of readings and messages, and drop those past their retention."

    def handle(self, *args: Any, **options: Any) -> None:
        upkeep_partitions()
