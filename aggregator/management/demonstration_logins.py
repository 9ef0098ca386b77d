"""Logins for a demonstration: an owner and an operator, with passwords made for this run alone."""

from __future__ import annotations

import secrets

from aggregator.models import User
from fleet.core.portfolio import Portfolio
from fleet.operations.portfolio import link_owner_to_user

OWNER_EMAIL = "owner@demo.invalid"
OPERATOR_EMAIL = "operator@demo.invalid"


def make_logins(portfolio: Portfolio) -> dict[str, dict[str, str]]:
    """Make both users and return their e-mail addresses and passwords.

    The owner is that of the first bidirectional car with a computer, so that every part of the portal has something to
    show; without such a car, the first owner.
    """
    interesting = [car.owner for car in portfolio.cars if car.bidirectional and car.computer is not None]
    owner_identity = interesting[0] if interesting else portfolio.cars[0].owner
    owner_password, operator_password = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
    owner = User.objects.create_user(OWNER_EMAIL, owner_password, name="Demonstration owner")
    User.objects.create_user(
        OPERATOR_EMAIL,
        operator_password,
        name="Demonstration operator",
        is_operator=True,
        is_staff=True,
        is_superuser=True,
    )
    link_owner_to_user(owner_identity=owner_identity, user_id=owner.pk)
    return {
        "owner": {"email": OWNER_EMAIL, "password": owner_password},
        "operator": {"email": OPERATOR_EMAIL, "password": operator_password},
    }
