"""Firmware for chargers on MQTT: signed images are stored, offered, and handed out in chunks."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.db import connection

from common.errors import Conflict, InvalidInput
from fleet.core.firmware import firmware_statement
from fleet.models import Charger, ChargerProtocol, CommandKind, DeviceCommand, FirmwareImage, TransferKind
from fleet.operations.assets.checks import NotRegistered, find, registering, require_text
from fleet.operations.commands import queue_command
from fleet.operations.station_answers import request_number
from fleet.operations.station_notices import note_transfer

LARGEST_IMAGE_BYTES = 64 * 1024 * 1024
OFFER_VALID = timedelta(days=7)
# a device's words -> those of OCPP, in which transfers of all stations are kept
_TRANSFER_WORDS = {
    "downloading": "Downloading",
    "downloaded": "Downloaded",
    "verified": "SignatureVerified",
    "rejected": "InvalidSignature",
    "installing": "Installing",
    "installed": "Installed",
    "failed": "InstallationFailed",
    "rolled_back": "InstallationFailed",
}


class WrongFirmware(Conflict):
    """The firmware is not for this charger, or another image of that version is known."""

    code = "wrong_firmware"


@dataclass(frozen=True, slots=True)
class StoredFirmware:
    """An image as stored."""

    image_id: int
    sha256: str
    size_bytes: int


def sign_firmware(*, vendor: str, model: str, version: str, content: bytes, private_key_pem: bytes) -> tuple[str, str]:
    """The maker's signature of an image and the public key that proves it, both in base 64. Touches no database.

    Raises:
        InvalidInput: the key is no Ed25519 key in PEM.
    """
    try:
        key = load_pem_private_key(private_key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"The key cannot be read: {error}.", field="key", remedy="Give a PEM file.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput("The key is no Ed25519 key.", field="key", remedy="openssl genpkey -algorithm ed25519")
    signature = key.sign(_statement(vendor, model, version, content))
    return b64encode(signature).decode(), b64encode(key.public_key().public_bytes_raw()).decode()


def store_firmware(
    *,
    vendor: str,
    model: str,
    version: str,
    content: bytes,
    signature: str,
    public_key: str,
    now: datetime,
    url: str = "",
) -> StoredFirmware:
    """Store a signed image. Storing the same again changes nothing.

    Args:
        signature, public_key: base 64, as `sign_firmware` gives them.
        url: where devices fetch it, if they shall not take it in chunks over MQTT.

    Raises:
        InvalidInput: a name is empty, the image is empty or too large, or the signature does not prove it.
        WrongFirmware: another image of this version is stored already.
    """
    for field, value in (("vendor", vendor), ("model", model), ("version", version)):
        require_text(value, field=field, longest=50)
    if not 0 < len(content) <= LARGEST_IMAGE_BYTES:
        raise InvalidInput(
            f"The image has {len(content)} bytes.", field="content", remedy=f"Give 1 to {LARGEST_IMAGE_BYTES} bytes."
        )
    _verify(_statement(vendor, model, version, content), signature, public_key)
    sha256 = hashlib.sha256(content).hexdigest()
    known = FirmwareImage.objects.filter(vendor=vendor, model=model, version=version).defer("content").first()
    if known is None:
        with registering(version, field="version", remedy="Give every image a version of its own."):
            known = FirmwareImage.objects.create(
                vendor=vendor,
                model=model,
                version=version,
                size_bytes=len(content),
                sha256=sha256,
                signature=signature,
                public_key=public_key,
                url=url,
                content=content,
                stored_at=now,
            )
    elif known.sha256 != sha256:
        raise WrongFirmware(
            f"Another image is stored as {version}.", field="version", remedy="Give every image a version of its own."
        )
    return StoredFirmware(known.pk, known.sha256, known.size_bytes)


def offer_firmware(*, charger_identity: str, version: str, now: datetime, install_at: datetime | None = None) -> int:
    """Offer a stored image to a charger of its make and model; returns the command's identifier.

    Raises:
        NotRegistered: there is no such charger, or no image of that version for its make and model.
        WrongFirmware: the charger does not take firmware over MQTT.
    """
    charger = find(Charger, field="charger", identity=charger_identity)
    if charger.protocol != ChargerProtocol.MQTT:
        raise WrongFirmware(
            f"{charger_identity} speaks OCPP.",
            field="charger",
            remedy="Use the command update_firmware, or a campaign.",
        )
    images = FirmwareImage.objects.filter(vendor=charger.vendor, model=charger.model, version=version)
    image = images.defer("content").first()
    if image is None:
        raise NotRegistered(
            f"There is no {version!r} for a {charger.vendor} {charger.model}.",
            field="version",
            remedy="Store the image first, with the make and model that the charger gives.",
        )
    return queue_command(
        asset_id=charger.evses.order_by("number")[0].asset_id,
        kind=CommandKind.UPDATE_FIRMWARE,
        parameters={
            "image_id": image.pk,
            "location": image.url or "mqtt",
            "version": image.version,
            "size_bytes": image.size_bytes,
            "sha256": image.sha256,
            "signature": image.signature,
            "url": image.url,
            "install_at": None if install_at is None else install_at.isoformat(),
        },
        now=now,
        valid_until=now + OFFER_VALID,
    )


def firmware_chunk(*, charger_identity: str, sequence: int, offset_bytes: int, most_bytes: int) -> bytes:
    """Bytes of the image that a charger was offered by a command; empty at its end.

    Raises:
        WrongFirmware: it was offered nothing under that number.
    """
    command = _offer(charger_identity, sequence)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT substring(content FROM %s FOR %s) FROM fleet_firmwareimage WHERE id = %s",
            [offset_bytes + 1, most_bytes, command.parameters["image_id"]],
        )
        row = cursor.fetchone()
    return bytes(row[0]) if row is not None else b""


def record_firmware_status(
    *, charger_identity: str, sequence: int, state: str, version: str, reason: str, now: datetime
) -> None:
    """A charger tells how far it has come with an offer; kept as a transfer, like those of all stations.

    Raises:
        WrongFirmware: it was offered nothing under that number.
    """
    command = _offer(charger_identity, sequence)
    detail = f"rolled back to {version}: {reason}" if state == "rolled_back" else reason
    note_transfer(
        identity=charger_identity,
        kind=TransferKind.FIRMWARE,
        request_id=request_number(command.pk),
        status=_TRANSFER_WORDS[state],
        detail=detail,
        now=now,
    )


def _offer(charger_identity: str, sequence: int) -> DeviceCommand:
    command = DeviceCommand.objects.filter(
        asset__evse__charger__identity=charger_identity, sequence=sequence, kind=CommandKind.UPDATE_FIRMWARE
    ).first()
    if command is None:
        raise WrongFirmware(
            f"Nothing was offered under {sequence}.",
            field="sequence",
            remedy="Wait for the next offer on down/firmware.",
        )
    return command


def _statement(vendor: str, model: str, version: str, content: bytes) -> bytes:
    sha256 = hashlib.sha256(content).hexdigest()
    return firmware_statement(vendor=vendor, model=model, version=version, size_bytes=len(content), sha256=sha256)


def _verify(statement: bytes, signature: str, public_key: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(b64decode(public_key, validate=True)).verify(
            b64decode(signature, validate=True), statement
        )
    except (InvalidSignature, ValueError, NotBase64) as error:
        raise InvalidInput(
            "The signature does not prove this image for this make, model and version.",
            field="signature",
            remedy="Sign it with sign_firmware and the maker's key, and give the public key that belongs to it.",
        ) from error
