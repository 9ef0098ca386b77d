"""OAuth2 scopes as the authorisation server sees them: a client may ask for what its role allows, and no more."""

from __future__ import annotations

from typing import Any

from oauth2_provider.scopes import BaseScopes
from oauth2_provider.settings import oauth2_settings

from aggregator.core.access import scopes_of_role
from aggregator.models import ApiClient


class RoleScopes(BaseScopes):
    """Scopes by the role of the client; a request that names none gets all of its role's."""

    def get_all_scopes(self) -> dict[str, str]:
        """Every scope with its description."""
        return oauth2_settings.SCOPES

    def get_available_scopes(
        self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        """What this client may ask for."""
        if application is None:
            return list(oauth2_settings.SCOPES)
        client = ApiClient.objects.filter(application_id=application.pk).first()
        return list(scopes_of_role(client.role if client else None))

    def get_default_scopes(self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any) -> list[str]:
        """What it gets if it asks for none in particular."""
        return self.get_available_scopes(application, request)
