from django.apps import AppConfig


class AggregatorConfig(AppConfig):
    name = "aggregator"

    def ready(self) -> None:
        # makes our Celery application the default, so that every process can enqueue
        from aggregator import celery  # noqa: F401
