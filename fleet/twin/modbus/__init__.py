"""Simulated packs and meters that answer over Modbus TCP as SunSpec devices."""
