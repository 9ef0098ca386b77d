"""A charger takes new firmware over MQTT: fetched so that it can be resumed, verified before it is installed.

1. `down/firmware` offers an image; the charger answers `up/ack`, remembers the offer on disk, and begins.
2. It asks for the next bytes with `up/chunk {sequence, offset_bytes}` and appends what `down/chunk` brings, or fetches
   `url` with a Range header. After a restart, or ten seconds of silence, it goes on from what is on disk.
3. When all bytes are there it checks the SHA-256, then the Ed25519 signature by the maker's public key that it was built
   with. An image that fails is deleted and reported as `rejected`.
4. It installs, not before `install_at`. If the new firmware does not come up the old one does, and says `rolled_back`.

Every step is told with `up/firmware`.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import threading
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

logger = logging.getLogger(__name__)

ASK_AGAIN = timedelta(seconds=10)
FETCH_TIMEOUT_S = 20.0


class FirmwareHardware(Protocol):
    """What the update needs of the charger."""

    def describe(self) -> Mapping[str, Any]:
        """Vendor, model, serial number and the firmware version that runs."""
        ...

    def install_firmware(self, image: Path, version: str) -> str:
        """Install and start an image; returns why the old firmware runs again, or nothing."""
        ...


class FirmwareUpdate:
    """The update that a charger has under way, if any. Called in the client's network thread, and by its `tick`."""

    def __init__(
        self,
        *,
        hardware: FirmwareHardware,
        maker_key: bytes,
        folder: Path,
        say: Callable[[str, Mapping[str, Any]], object],
    ) -> None:
        """`maker_key` is the Ed25519 public key that the charger was built with; `say(kind, content)` publishes."""
        self._hardware, self._key, self._say = hardware, Ed25519PublicKey.from_public_bytes(maker_key), say
        self._offer_file, self._image = folder / "offer.json", folder / "image.part"
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        self._offer: dict[str, Any] | None = None
        if self._offer_file.exists():
            self._offer = json.loads(self._offer_file.read_text())
        self._asked_at = datetime.now(UTC)
        self._verified = self._fetching = False

    def take_offer(self, offer: dict[str, Any]) -> str:
        """Begin with an offered image; returns why not, or nothing. The same offer again goes on with it."""
        with self._lock:
            if self._offer is not None and offer["sequence"] < self._offer["sequence"]:
                return "a newer one was offered"
            if self._offer is None or offer["sha256"] != self._offer["sha256"]:
                self._image.unlink(missing_ok=True)
            self._offer, self._verified = offer, False
            self._offer_file.write_text(json.dumps(offer))
            self._tell("downloading")
            self.resume()
        return ""

    def resume(self) -> None:
        """Go on with what is under way: after a connection, a restart, or silence."""
        with self._lock:
            if self._offer is None or self._verified:
                return
            self._asked_at = datetime.now(UTC)
            if self._have() >= self._offer["size_bytes"]:
                self._verify()
            elif self._offer["url"]:
                if not self._fetching:
                    self._fetching = True
                    threading.Thread(target=self._fetch, args=(dict(self._offer),), daemon=True).start()
            else:
                self._say("chunk", {"sequence": self._offer["sequence"], "offset_bytes": self._have()})

    def take_chunk(self, chunk: Mapping[str, Any]) -> None:
        """Append bytes that were asked for; others are left."""
        with self._lock:
            if self._offer is None or chunk["sequence"] != self._offer["sequence"]:
                return
            if chunk["offset_bytes"] == self._have() and chunk["data"]:
                with self._image.open("ab") as file:
                    file.write(b64decode(chunk["data"]))
                self.resume()

    def tick(self, now: datetime) -> None:
        """Ask again after silence; install when it is time."""
        with self._lock:
            if self._offer is None:
                return
            if self._verified:
                self._install_when_due(now)
            elif now - self._asked_at >= ASK_AGAIN:
                self.resume()

    def _have(self) -> int:
        return self._image.stat().st_size if self._image.exists() else 0

    def _fetch(self, offer: dict[str, Any]) -> None:
        """Fetch what is missing from an address; a server that knows no ranges sends everything, and we begin anew."""
        begin = self._have()
        request = urllib.request.Request(offer["url"], headers={"Range": f"bytes={begin}-"})
        try:
            with (
                urllib.request.urlopen(request, timeout=FETCH_TIMEOUT_S) as answer,
                self._image.open("ab" if answer.status == 206 else "wb") as file,
            ):
                while data := answer.read(64 * 1024):
                    file.write(data)
        except (OSError, http.client.HTTPException) as error:
            logger.warning("%s cannot be fetched: %s", offer["url"], error)
            return
        finally:
            self._fetching = False
        if self._have() > begin:  # else the next tick tries again
            self.resume()

    def _verify(self) -> None:
        assert self._offer is not None
        self._tell("downloaded")
        content = self._image.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        described = self._hardware.describe()
        lines = ("v2g-firmware-1", described["vendor"], described["model"], self._offer["version"])
        statement = "\n".join((*lines, str(len(content)), digest)).encode()
        if digest != self._offer["sha256"] or len(content) != self._offer["size_bytes"]:
            return self._reject("the image is not the one that was offered")
        try:
            self._key.verify(b64decode(self._offer["signature"]), statement)
        except (InvalidSignature, ValueError):
            return self._reject("the signature is not our maker's")
        self._verified = True
        self._tell("verified")
        return self._install_when_due(datetime.now(UTC))

    def _reject(self, reason: str) -> None:
        self._tell("rejected", reason)
        self._forget()

    def _install_when_due(self, now: datetime) -> None:
        assert self._offer is not None
        at = self._offer["install_at"]
        if at is not None and datetime.fromisoformat(at) > now:
            return
        self._tell("installing")
        reason = self._hardware.install_firmware(self._image, self._offer["version"])
        self._tell("rolled_back" if reason else "installed", reason)
        self._say("birth", {"at": datetime.now(UTC).isoformat(), **self._hardware.describe()})
        self._forget()

    def _forget(self) -> None:
        self._offer, self._verified = None, False
        self._offer_file.unlink(missing_ok=True)
        self._image.unlink(missing_ok=True)

    def _tell(self, state: str, reason: str = "") -> None:
        assert self._offer is not None
        content = {
            "sequence": self._offer["sequence"],
            "state": state,
            "version": self._hardware.describe()["firmware_version"],
            "offset_bytes": self._have(),
            "reason": reason,
            "at": datetime.now(UTC).isoformat(),
        }
        self._say("firmware", content)
