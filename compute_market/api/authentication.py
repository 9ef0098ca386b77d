"""Who speaks on the lease protocol: an agent, by its computer's identity and token (HTTP Basic, RFC 7617)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from fleet.operations.computers import ComputerIdentity, WrongComputerToken, authenticate_computer


class ComputerPrincipal:
    """What DRF sees as the user of a request."""

    is_authenticated = True

    def __init__(self, computer: ComputerIdentity) -> None:
        self.computer_id = computer.computer_id
        self.identity = computer.identity


class ComputerAuthentication(BaseAuthentication):
    """`Authorization: Basic` with the computer's identity as user and its token as password."""

    def authenticate(self, request: Request) -> tuple[ComputerPrincipal, None] | None:
        """The principal; None without the header, so that the answer is 401 with a challenge."""
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            identity, separator, token = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise AuthenticationFailed("The Authorization header is damaged.") from error
        if not separator:
            raise AuthenticationFailed("The Authorization header lacks a token.")
        try:
            return ComputerPrincipal(authenticate_computer(identity=identity, token=token)), None
        except WrongComputerToken as error:
            raise AuthenticationFailed(str(error)) from error

    def authenticate_header(self, request: Request) -> str:
        """The challenge."""
        return 'Basic realm="compute", charset="UTF-8"'


def computer_id_of(request: Request) -> int:
    """The computer whose agent speaks; for views that let in nobody else."""
    principal: object = request.user
    assert isinstance(principal, ComputerPrincipal)
    return principal.computer_id


class IsComputer(BasePermission):
    """Only agents."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether an agent speaks."""
        return isinstance(request.user, ComputerPrincipal)
