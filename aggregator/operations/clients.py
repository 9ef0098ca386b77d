"""Programs that call our API: making them known."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from oauth2_provider.generators import generate_client_id, generate_client_secret
from oauth2_provider.models import get_application_model

from aggregator.core.access import scopes_of_role
from aggregator.models import ApiClient, ClientRole
from common.errors import Conflict, InvalidInput

LONGEST_NAME = 120


class ClientNameTaken(Conflict):
    """A client of that name exists; its books and events belong to it."""

    code = "client_name_taken"


@dataclass(frozen=True, slots=True)
class CreatedClient:
    """A client as created. `client_secret` is here once and kept as a hash only."""

    client_id: str
    client_secret: str
    name: str
    role: str
    scopes: tuple[str, ...]


def create_client(*, name: str, role: str) -> CreatedClient:
    """Make an OAuth2 client that authenticates as itself (client credentials grant).

    Raises:
        InvalidInput: no name, or no such role.
        ClientNameTaken: the name is in use.
    """
    if not name.strip() or len(name) > LONGEST_NAME:
        raise InvalidInput("is empty or too long.", field="name", remedy=f"Give 1 to {LONGEST_NAME} characters.")
    if role not in ClientRole.values:
        raise InvalidInput(f"{role!r} is no role.", field="role", remedy=f"Give one of {', '.join(ClientRole.values)}.")
    application_model = get_application_model()
    client_id, client_secret = generate_client_id(), generate_client_secret()
    with transaction.atomic():
        if ApiClient.objects.select_for_update().filter(name=name).exists():
            raise ClientNameTaken(f"{name!r} is in use.", field="name", remedy="Choose another name.")
        application = application_model.objects.create(
            name=name,
            client_id=client_id,
            client_secret=client_secret,
            client_type=application_model.CLIENT_CONFIDENTIAL,
            authorization_grant_type=application_model.GRANT_CLIENT_CREDENTIALS,
        )
        ApiClient.objects.create(application=application, name=name, role=role)
    return CreatedClient(client_id, client_secret, name, role, scopes_of_role(role))
