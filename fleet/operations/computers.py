"""Letting the agent of an on-board computer in."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import NotAllowed
from fleet.models import OnboardComputer
from fleet.operations.secrets import hash_secret, verify_secret

# An unknown identity costs what a wrong token costs, so that nobody can tell the two apart by the clock.
_NOBODY = hash_secret("nobody", generated=True)


class WrongComputerToken(NotAllowed):
    """No computer of that identity shows that token."""

    code = "wrong_computer_token"


@dataclass(frozen=True, slots=True)
class ComputerIdentity:
    """The computer that an agent speaks for."""

    computer_id: int
    identity: str


def authenticate_computer(*, identity: str, token: str) -> ComputerIdentity:
    """The computer with this identity and token.

    Raises:
        WrongComputerToken: there is none.
    """
    row = OnboardComputer.objects.filter(identity=identity).values_list("pk", "token_hash").first()
    matches = verify_secret(token, row[1] if row else _NOBODY)
    if row is None or not matches:
        raise WrongComputerToken(
            "identity or token is wrong",
            field="authorization",
            remedy="Use the identity and token with which the computer was registered.",
        )
    return ComputerIdentity(row[0], identity)
