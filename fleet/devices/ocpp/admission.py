"""Who may speak to the gateway: decided before the handshake is answered.

404 for an identity that is not registered, 401 for a wrong or missing password, 403 for a certificate that does not let
this station in or a security profile below the one it has to come under, 503 while the database is away.
"""

from __future__ import annotations

import base64
import binascii
import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from fleet.devices.database import DatabaseThreads, DatabaseUnavailable
from fleet.operations.station_access import BadCertificate, Credentials, WeakProfile, admit_station
from fleet.operations.stations import UnknownDevice, WrongPassword

logger = logging.getLogger(__name__)

LONGEST_IDENTITY = 48
MOST_STRANGERS = 1000


class Admission:
    """Lets stations in, and logs once who is not and why.

    Args:
        logins: threads in which the database is asked.
        clock: gives the instant.
        behind_tls: connections without TLS of our own come through a proxy that has ended it.
        allow_no_password: security profile 0, for demonstrations.
    """

    def __init__(
        self, logins: DatabaseThreads, *, clock: Callable[[], datetime], behind_tls: bool, allow_no_password: bool
    ) -> None:
        self._logins = logins
        self._clock = clock
        self._behind_tls = behind_tls
        self._allow_no_password = allow_no_password
        self._strangers: OrderedDict[str, None] = OrderedDict()

    async def admit(self, websocket: ServerConnection, request: Request) -> Response | None:
        """Let a station in, with `websocket.charger`, or say why not."""
        identity = unquote(urlsplit(request.path).path.rstrip("/").rpartition("/")[2])
        if not 0 < len(identity) <= LONGEST_IDENTITY or "\x00" in identity:
            return websocket.respond(HTTPStatus.NOT_FOUND, "This station is not registered.\n")
        tls = websocket.transport.get_extra_info("ssl_object")
        credentials = Credentials(
            password=basic_password(request.headers.get("Authorization"), identity),
            encrypted=tls is not None or self._behind_tls,
            certificate=_peer_certificate(tls),
        )
        try:
            websocket.charger = await self._logins.call(  # type: ignore[attr-defined]
                admit_station,
                identity=identity,
                credentials=credentials,
                allow_no_password=self._allow_no_password,
                now=self._clock(),
            )
        except UnknownDevice as error:
            self.log_stranger(identity, str(error))
            return websocket.respond(HTTPStatus.NOT_FOUND, "This station is not registered.\n")
        except WrongPassword as error:
            self.log_stranger(identity, str(error))
            return _unauthorised(websocket)
        except (BadCertificate, WeakProfile) as error:
            self.log_stranger(identity, str(error))
            return websocket.respond(HTTPStatus.FORBIDDEN, f"{error.message}\n")
        except DatabaseUnavailable:
            return websocket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "Try again in a few seconds.\n")
        return None

    def log_stranger(self, identity: str, problem: str) -> None:
        """Log why a station is not let in, once until others have pushed it out of memory."""
        key = f"{identity[:60]} {problem[:100]}"
        if key in self._strangers:
            self._strangers.move_to_end(key)
            return
        self._strangers[key] = None
        if len(self._strangers) > MOST_STRANGERS:
            self._strangers.popitem(last=False)
        logger.warning("not let in: %r %s", identity[:60], problem)


def basic_password(header: str | None, identity: str) -> str | None:
    """The password in an Authorization header whose user is the station; None if there is none.

    An identity may hold a colon, so what stands before the first one is not necessarily the user's name.
    """
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        shown = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return shown.removeprefix(f"{identity}:") if shown.startswith(f"{identity}:") else None


def _peer_certificate(tls: ssl.SSLObject | None) -> bytes | None:
    """The certificate that TLS has verified, in DER form; None if the station showed none."""
    return None if tls is None else tls.getpeercert(binary_form=True)


def _unauthorised(websocket: ServerConnection) -> Response:
    response = websocket.respond(HTTPStatus.UNAUTHORIZED, "Wrong credentials.\n")
    response.headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
    return response
