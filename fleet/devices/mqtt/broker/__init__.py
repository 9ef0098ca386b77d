"""The embedded MQTT broker, a program for an environment of its own."""
