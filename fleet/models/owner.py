"""Who owns vehicles, packs and sites, and is paid for them."""

from django.conf import settings
from django.db import models


class Owner(models.Model):
    """A person or company; `user` is the login of the portal, if they have one."""

    identity = models.CharField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    email = models.EmailField(blank=True)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="owner"
    )
    payout_account = models.CharField(
        max_length=60, blank=True, help_text="where payouts go: IBAN or a bank's own form"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name
