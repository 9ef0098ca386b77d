"""Packs and meters over Modbus TCP with SunSpec models: discovery, reading, set-points with revert timers, heartbeats."""
