"""Simulated chargers whose firmware speaks MQTT. `client.py` is the reference client: start reading there."""
