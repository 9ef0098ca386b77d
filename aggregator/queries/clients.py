"""Programs that call our API: which part each plays."""

from __future__ import annotations

from dataclasses import dataclass

from aggregator.models import ApiClient


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client: its books and events stand under its name, its role says what it may."""

    name: str
    role: str


def client_of_application(application_id: int) -> ClientView | None:
    """The client of an OAuth2 application; None if it is none of ours."""
    row = ApiClient.objects.filter(application_id=application_id).only("name", "role").first()
    return None if row is None else ClientView(row.name, row.role)
