"""Charger firmware over MQTT: topics and messages of our own, described in docs/asyncapi.yaml."""
