"""The Celery application. Tasks live in each package's `tasks.py` and only there."""

import os
from importlib import import_module

from celery import Celery
from celery.signals import worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aggregator.settings.base")

app = Celery("aggregator")
app.config_from_object("django.conf:settings", namespace="CELERY")
PACKAGES = ("fleet", "grid", "compute_market", "aggregator")
app.autodiscover_tasks(PACKAGES)


@app.on_after_finalize.connect
def collect_beat_schedules(sender: Celery, **_: object) -> None:
    """Merge the `BEAT_SCHEDULE` of every package that has tasks: what runs when is said beside what runs."""
    for package in PACKAGES:
        sender.conf.beat_schedule.update(import_module(f"{package}.tasks").BEAT_SCHEDULE)


@worker_init.connect
def load_solver(**_: object) -> None:
    """Before the pool is forked, so that its processes share it and the first plan does not wait for it.

    What is compiled is loaded here too, but not run: threads started before a fork would not be there after it.
    """
    import_module("aggregator.core.dispatch.solver")
    import_module("aggregator.core.dispatch.choice")
