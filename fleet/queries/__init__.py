"""What the fleet knows, as frozen dataclasses."""
