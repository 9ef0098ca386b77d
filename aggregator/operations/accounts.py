"""Logins of people."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import IntegrityError, transaction

from aggregator.models import User
from common.errors import Conflict
from fleet.operations.assets import register_owner


class AddressTaken(Conflict):
    """There is a login with this e-mail address."""

    code = "address_taken"


@dataclass(frozen=True, slots=True)
class SignedUp:
    """A new login and the owner it belongs to."""

    user_id: int
    owner_id: int
    owner_identity: str


@transaction.atomic
def sign_up_owner(*, email: str, password: str, name: str, language: str) -> SignedUp:
    """Make a login and its owner, together or not at all.

    Raises:
        AddressTaken, InvalidInput.
    """
    try:
        with transaction.atomic():
            user = User.objects.create_user(email, password, name=name, language=language)
    except IntegrityError as error:
        raise AddressTaken(
            "There is a login with this address.", field="email", remedy="Log in, or use another address."
        ) from error
    owner = register_owner(identity=f"owner-{user.pk}", name=name, email=email, user_id=user.pk)
    return SignedUp(user.pk, owner.owner_id, owner.identity)


def choose_language(*, user_id: int, language: str) -> None:
    """Keep the language that a person reads in."""
    User.objects.filter(pk=user_id).update(language=language)
