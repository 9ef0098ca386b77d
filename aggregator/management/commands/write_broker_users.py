"""Write the MQTT broker's password file anew: the platform's own user, and every charger that speaks MQTT."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from fleet.operations.assets import publish_broker_credentials
from fleet.operations.broker_access import hash_broker_password, update_password_file


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.MQTT_CREDENTIALS_FILE:
            raise CommandError("MQTT_CREDENTIALS_FILE is not set. Set it to the password file that the broker reads.")
        address = urlsplit(settings.MQTT_URL)
        if not address.username or not address.password:
            raise CommandError("MQTT_URL has no user and password. Write it as mqtt://platform:PASSWORD@HOST:PORT.")
        path = Path(settings.MQTT_CREDENTIALS_FILE)
        path.parent.mkdir(parents=True, exist_ok=True)
        update_password_file(path, {address.username: hash_broker_password(unquote(address.password))})
        self.stdout.write(f"{address.username} and {publish_broker_credentials()} chargers may log in.")
