"""Runners: how an agent runs a job. They work on the vehicle's computer and know nothing of the platform."""
