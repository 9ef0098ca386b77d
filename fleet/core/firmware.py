"""What a maker signs when it releases firmware, and what a device checks before it installs it."""

from __future__ import annotations


def firmware_statement(*, vendor: str, model: str, version: str, size_bytes: int, sha256: str) -> bytes:
    """The bytes under an Ed25519 signature: what the image is for, and which image it is.

    Make, model and version stand in it, so that an image that is sound for one device is never installed on another, nor
    under another version's name.
    """
    return "\n".join(("v2g-firmware-1", vendor, model, version, str(size_bytes), sha256)).encode()
