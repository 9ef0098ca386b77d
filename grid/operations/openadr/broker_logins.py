"""Letting OpenADR clients listen at the broker: the clientID is the user, the token the password while it holds."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction

from fleet.operations.broker_access import forget_broker_users, hash_broker_password, write_broker_credentials
from grid.models import OpenAdrBrokerLogin
from grid.queries.openadr.objects import Caller


def admit_to_broker(*, caller: Caller, token: str, expires_at: datetime) -> None:
    """Make a token its client's password at the broker until it expires; the client's earlier token is none any more.

    What the client may listen to follows from its name; see `fleet/operations/broker_access.py`.
    """
    with transaction.atomic():
        OpenAdrBrokerLogin.objects.update_or_create(
            client_id=caller.client_id,
            defaults={"is_business_logic": caller.is_business_logic, "expires_at": expires_at},
        )
    if settings.MQTT_CREDENTIALS_FILE:
        write_broker_credentials(settings.MQTT_CREDENTIALS_FILE, {caller.client_id: hash_broker_password(token)})


def dismiss_expired_logins(*, now: datetime) -> int:
    """Take those from the broker whose tokens have expired; returns how many."""
    with transaction.atomic():
        rows = list(OpenAdrBrokerLogin.objects.select_for_update(skip_locked=True).filter(expires_at__lte=now))
        if rows and settings.MQTT_CREDENTIALS_FILE:
            forget_broker_users(settings.MQTT_CREDENTIALS_FILE, [row.client_id for row in rows])
        OpenAdrBrokerLogin.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)
