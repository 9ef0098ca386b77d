"""What agent and platform say to each other under /api/compute/, as plain data that both sides read and write.

JSON objects carry these fields by name. Instants are ISO 8601 with a zone; durations are seconds, so that the two clocks
need not agree. Programs, inputs, checkpoints and outputs travel as application/octet-stream with the headers below.
"""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

FENCE_HEADER = "X-Fencing-Token"
SHA256_HEADER = "X-Content-SHA256"
SLICE_HEADER = "X-Slice-Sequence"
PROGRESS_HEADER = "X-Progress-Fraction"
CHECKPOINT_HEADER = "X-Checkpoint-Sequence"

_Wire = TypeVar("_Wire")


class BadMessage(ValueError):
    """A message lacks a field or has one of another kind. `field` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


@dataclass(frozen=True, slots=True)
class OfferMessage:
    """The agent's offer, repeated as long as it stands."""

    memory_mib: int
    plugged_in: bool = True
    soc_fraction: float | None = None
    departure_at: str | None = None
    isolation: str = ""


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """A lease. `lease_s` is what is left of it; renew well before. `checkpoint_sequence` 0: start from the input."""

    lease_id: int
    fencing_token: int
    job_id: int
    lease_s: float
    report_s: float
    checkpoint_s: float
    program_sha256: str
    memory_limit_mib: int
    cpu_limit_s: int
    checkpoint_sequence: int
    checkpoint_sha256: str
    next_slice_sequence: int


@dataclass(frozen=True, slots=True)
class RenewalMessage:
    """The agent is alive, still wants the lease, and says how its car is."""

    fencing_token: int
    plugged_in: bool = True
    soc_fraction: float | None = None
    departure_at: str | None = None
    progress_fraction: float | None = None


@dataclass(frozen=True, slots=True)
class RenewalAnswer:
    """How long the lease now holds. `stop_reason`, if any: stop, save, give back with that reason."""

    lease_s: float
    stop_reason: str


@dataclass(frozen=True, slots=True)
class SliceMessage:
    """Work since the last report. `cpu_s` is a decimal as text: money follows from it, so it is never rounded on the way."""

    fencing_token: int
    sequence: int
    cpu_s: str
    elapsed_s: float
    progress_fraction: float | None = None


@dataclass(frozen=True, slots=True)
class SliceAnswer:
    """The slice is recorded."""

    sequence: int
    stop_reason: str


@dataclass(frozen=True, slots=True)
class GiveBackMessage:
    """The agent gives the lease back before the job is done."""

    fencing_token: int
    reason: str
    detail: str = ""


def to_json(message: Any) -> dict[str, Any]:
    """A message as a JSON object."""
    return asdict(message)


def from_json(kind: type[_Wire], value: Any) -> _Wire:
    """Read a message; fields that this version does not know are ignored.

    Raises:
        BadMessage: a field is missing or of another kind.
    """
    if not isinstance(value, dict):
        raise BadMessage("body", "is no JSON object")
    known: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type] # every message is a dataclass
        if field.name in value:
            known[field.name] = _checked(field.name, str(field.type), value[field.name])
        elif field.default is MISSING:
            raise BadMessage(field.name, "is missing")
    return kind(**known)


def parse_instant(text: str | None, field: str) -> datetime | None:
    """An instant with a zone from its ISO 8601 form.

    Raises:
        BadMessage: it is none, or has no zone.
    """
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadMessage(field, "is no ISO 8601 instant") from error
    if instant.tzinfo is None:
        raise BadMessage(field, "has no time zone")
    return instant


def _checked(name: str, kind: str, value: Any) -> Any:
    options = [option.strip() for option in kind.split("|")]
    if value is None and "None" in options:
        return None
    allowed: tuple[type, ...] = {
        "int": (int,), "float": (int, float), "str": (str,), "bool": (bool,),
    }[options[0]]  # fmt: skip
    if not isinstance(value, allowed) or (isinstance(value, bool) and options[0] != "bool"):
        raise BadMessage(name, f"must be {options[0]}, not {type(value).__name__}")
    if isinstance(value, str) and "\0" in value:
        raise BadMessage(name, "holds a NUL character")
    return float(value) if isinstance(value, int) and options[0] == "float" else value
