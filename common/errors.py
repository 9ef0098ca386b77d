"""One family of errors: each names the field at fault and how to mend it."""

from __future__ import annotations


class PlatformError(Exception):
    """An error that a person or a machine can act on.

    Args:
        message: what is wrong, one sentence.
        field: the input at fault, by the name its sender used; empty if none.
        remedy: what the sender can do about it, one sentence; empty if nothing.

    `code` is stable and machine-readable; edges translate it to their protocol's own terms.
    """

    code = "platform_error"

    def __init__(self, message: str, *, field: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [f"{self.field}: {self.message}" if self.field else self.message]
        if self.remedy:
            parts.append(self.remedy)
        return " ".join(parts)


class InvalidInput(PlatformError):
    """The input breaks a rule; the same input will always be refused."""

    code = "invalid_input"


class NotFound(PlatformError):
    """The thing named does not exist, or not for this caller."""

    code = "not_found"


class Conflict(PlatformError):
    """The input is well-formed but clashes with what is already recorded."""

    code = "conflict"


class NotAllowed(PlatformError):
    """The caller is known but has no right to do this."""

    code = "not_allowed"
