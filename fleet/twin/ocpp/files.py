"""Files of a station: logs that it sends, firmware that it fetches, checks and installs. Over HTTP, as real ones."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx

from fleet.twin.faults import Fault
from fleet.twin.ocpp.keys import signed_by

if TYPE_CHECKING:
    from fleet.twin.ocpp.dialect import Dialect

logger = logging.getLogger(__name__)

STEP_S = 0.05
WITHIN_S = 30.0
LARGEST_FIRMWARE = 64 * 1024 * 1024
Handler = Callable[[dict], dict]


class FileCalls:
    """The calls about logs and firmware of every version."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.station = dialect.station
        self.last_told: dict[str, dict] = {}

    def table_16(self) -> dict[str, Handler]:
        """The handlers of 1.6 with its security extension."""
        return {
            "GetDiagnostics": self.get_diagnostics,
            "GetLog": self.get_log,
            "SignedUpdateFirmware": lambda payload: self.update_firmware(payload, "SignedFirmwareStatusNotification"),
            "UpdateFirmware": self.update_firmware_16,
        }

    def table_2x(self) -> dict[str, Handler]:
        """The handlers of 2.0.1 and 2.1."""
        return {
            "GetLog": self.get_log,
            "UpdateFirmware": lambda payload: self.update_firmware(payload, "FirmwareStatusNotification"),
        }

    def tell_again(self, action: str) -> bool:
        """Tell how far a file is, because somebody asks; Idle where nothing was going on. False: no such message."""
        if action == "LogStatusNotification" or action in (
            "FirmwareStatusNotification",
            "DiagnosticsStatusNotification",
        ):
            self.dialect.requested.append((action, self.last_told.get(action, {"status": "Idle"})))
        else:
            return False
        return True

    def get_log(self, payload: dict) -> dict:
        """Send a log."""
        self._send(payload["log"]["remoteLocation"], "LogStatusNotification", payload["requestId"], payload["logType"])
        return {"status": "Accepted", "filename": self._name(payload["logType"])}

    def get_diagnostics(self, payload: dict) -> dict:
        """Send diagnostics, as 1.6 had it first."""
        self._send(payload["location"], "DiagnosticsStatusNotification", None, "diagnostics")
        return {"fileName": self._name("diagnostics")}

    def _name(self, kind: str) -> str:
        return f"{self.station.identity}-{kind}.log"

    def _send(self, location: str, action: str, request_id: int | None, kind: str) -> None:
        text = "\n".join(self.dialect.log) + "\n"
        failed = "UploadFailed" if action == "DiagnosticsStatusNotification" else "UploadFailure"

        async def send() -> None:
            self._tell(action, "Uploading", request_id)
            try:
                async with httpx.AsyncClient(timeout=WITHIN_S, trust_env=False) as client:
                    url = location.rstrip("/") + "/" + self._name(kind)
                    (await client.put(url, content=text.encode())).raise_for_status()
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                logger.info("%s cannot send its log: %s", self.station.identity, error)
                self._tell(action, failed, request_id)
            else:
                self._tell(action, "Uploaded", request_id)

        self.dialect.errands.append(send)

    def update_firmware_16(self, payload: dict) -> dict:
        """1.6's own update, whose status names no request and whose answer says nothing."""
        self._install(payload["location"], "FirmwareStatusNotification", None, None, payload.get("retries", 0))
        return {}

    def update_firmware(self, payload: dict, action: str) -> dict:
        """Fetch, check and install."""
        firmware = payload["firmware"]
        signature = None
        if "signature" in firmware:
            certificate = firmware.get("signingCertificate", "")
            try:
                signed_by(b"", b"", certificate)
                signature = (base64.b64decode(firmware["signature"], validate=True), certificate)
            except (ValueError, binascii.Error):
                return {"status": "InvalidCertificate"}
        self._install(firmware["location"], action, payload["requestId"], signature, payload.get("retries", 0))
        return {"status": "Accepted"}

    def _install(
        self, location: str, action: str, request_id: int | None, signature: tuple[bytes, str] | None, retries: int
    ) -> None:
        async def install() -> None:
            self._tell(action, "Downloading", request_id)
            content = await self._fetch(location, retries)
            if content is None:
                self._tell(action, "DownloadFailed", request_id)
                return
            self._tell(action, "Downloaded", request_id)
            if signature is not None:
                if not signed_by(content, *signature):
                    self._tell(action, "InvalidSignature", request_id)
                    self.dialect.security_event("InvalidFirmwareSignature")
                    return
                self._tell(action, "SignatureVerified", request_id)
            self._tell(action, "Installing", request_id)
            await asyncio.sleep(STEP_S)
            if self.station.faults.active(Fault.FAIL_FIRMWARE, self.dialect.now()):
                self._tell(action, "InstallationFailed", request_id)
                return
            # a file of the twin's firmware begins with its version
            self.dialect.firmware_version = content.decode("utf-8", "replace").split("\n", 1)[0].strip()[:50]
            self._tell(action, "Installed", request_id)
            self.dialect.security_event("FirmwareUpdated")
            self.dialect.restart_when_idle = True
            self.station.on_work()

        self.dialect.errands.append(install)

    async def _fetch(self, location: str, retries: int) -> bytes | None:
        for _ in range(retries + 1):
            try:
                async with httpx.AsyncClient(timeout=WITHIN_S, trust_env=False) as client:
                    answer = (await client.get(location)).raise_for_status()
                return answer.content[:LARGEST_FIRMWARE]
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                logger.info("%s cannot fetch %s: %s", self.station.identity, location, error)
                await asyncio.sleep(STEP_S)
        return None

    def _tell(self, action: str, status: str, request_id: int | None) -> None:
        payload = {"status": status, **({} if request_id is None else {"requestId": request_id})}
        self.last_told[action] = payload
        self.dialect.requested.append((action, payload))
        self.station.on_work()
