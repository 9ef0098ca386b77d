"""The broker's password file: one line a user, in Mosquitto's `$7$` format, which our embedded broker reads too.

The access rules need no file of their own per device, because they follow from the user's name:
`platform` may everything below `v2g/` and `openadr/`; a device may publish below `v2g/v1/devices/<identity>/up/` and
subscribe below `v2g/v1/devices/<identity>/down/`; an OpenADR client may subscribe below `openadr/3.1.0/<clientID>/`;
nobody else exists.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import signal
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from common.errors import InvalidInput

PLATFORM_USER = "platform"
TOPIC_ROOT = "v2g/"
OPENADR_ROOT = "openadr/"
# Device passwords are long and random, and the broker hashes on every connection: no need of a slow hash.
ITERATIONS = 2_000
_SALT_BYTES = 12
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"\$7\$\d+\$[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+")

MOSQUITTO_ACL = f"""\
user {PLATFORM_USER}
topic readwrite {TOPIC_ROOT}#
topic readwrite {OPENADR_ROOT}#
pattern write {TOPIC_ROOT}v1/devices/%u/up/#
pattern read {TOPIC_ROOT}v1/devices/%u/down/#
pattern read {OPENADR_ROOT}3.1.0/%u/#
"""


def hash_broker_password(password: str, *, salt: bytes | None = None) -> str:
    """PBKDF2-SHA512 in Mosquitto's notation: `$7$iterations$salt$hash`, the last two in base 64."""
    chosen = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), chosen, ITERATIONS)
    return f"$7${ITERATIONS}${b64encode(chosen).decode()}${b64encode(digest).decode()}"


def check_identity(identity: str) -> None:
    """Raises InvalidInput for a name that would be a wildcard or a path in a topic, or a line break in the file."""
    if identity == PLATFORM_USER or not _IDENTITY.fullmatch(identity):
        raise InvalidInput(
            f"{identity!r} cannot be a device's name at the broker.",
            field="identity",
            remedy=f"Use 1 to 64 letters, digits, '.', '_' or '-', not beginning with a mark; not {PLATFORM_USER!r}.",
        )


def write_broker_credentials(path: Path | str, password_hashes: Mapping[str, str]) -> None:
    """Add or replace devices in a broker's password file and let the running broker know.

    Args:
        path: the password file; created if missing. Lines of other users are kept.
        password_hashes: device identity -> `hash_broker_password(…)`.

    The file is replaced in one step, under a lock, so that a reader never sees half of it. Mosquitto re-reads it on
    SIGHUP, sent to the process named in `<path>.pid` where there is such a file; the embedded broker notices by itself.
    Raises InvalidInput for a name or a hash that does not belong there.
    """
    for identity, password_hash in password_hashes.items():
        check_identity(identity)
        if not _HASH.fullmatch(password_hash):
            raise InvalidInput(
                f"The password of {identity} is not hashed.",
                field="password_hash",
                remedy="Pass the result of hash_broker_password.",
            )
    update_password_file(Path(path), password_hashes)


def update_password_file(path: Path, password_hashes: Mapping[str, str]) -> None:
    """Merge lines into a password file without checks; the supervisor writes the platform's own line with it."""
    _rewrite(path, lambda users: users | dict(password_hashes))


def forget_broker_users(path: Path | str, identities: Iterable[str]) -> None:
    """Take users from a broker's password file; those that it does not hold are no matter."""
    gone = set(identities)
    _rewrite(Path(path), lambda users: {user: hashed for user, hashed in users.items() if user not in gone})


def _rewrite(path: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        users = change(read_password_file(path))
        _replace(path, "".join(f"{user}:{password_hash}\n" for user, password_hash in sorted(users.items())))
    _ask_to_reload(path)


def read_password_file(path: Path) -> dict[str, str]:
    """User -> password hash; empty if there is no such file."""
    if not path.exists():
        return {}
    pairs = (line.partition(":") for line in path.read_text().splitlines() if line)
    return {user: password_hash for user, _, password_hash in pairs}


def _replace(path: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    if path.exists():
        before = path.stat()
        os.chmod(temporary, before.st_mode & 0o777)
        with suppress(PermissionError):  # only root may give a file away; then the broker runs as its writer
            os.chown(temporary, before.st_uid, before.st_gid)
    os.replace(temporary, path)


def _ask_to_reload(path: Path) -> None:
    pid_file = Path(f"{path}.pid")
    with suppress(FileNotFoundError, ValueError, ProcessLookupError):
        os.kill(int(pid_file.read_text()), signal.SIGHUP)
