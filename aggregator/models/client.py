"""Programs that call our API: grid operators, tenants, OpenADR clients."""

from django.conf import settings
from django.db import models


class ClientRole(models.TextChoices):
    OPERATOR = "operator", "Grid operator"
    CPO = "cpo", "Charge point operator"
    TENANT = "tenant", "Tenant of computing"
    BL = "bl", "OpenADR business logic"
    VEN = "ven", "OpenADR virtual end node"


class ApiClient(models.Model):
    """Which part an OAuth2 application plays; its scopes follow from the role."""

    application = models.OneToOneField(
        settings.OAUTH2_PROVIDER_APPLICATION_MODEL,
        on_delete=models.CASCADE,
        related_name="api_client",
    )
    name = models.CharField(max_length=120, unique=True)
    role = models.CharField(max_length=10, choices=ClientRole)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name
