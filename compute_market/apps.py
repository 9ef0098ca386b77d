from django.apps import AppConfig


class ComputeMarketConfig(AppConfig):
    name = "compute_market"
