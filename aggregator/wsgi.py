"""The web process: `granian --interface wsgi aggregator.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aggregator.settings.base")
application = get_wsgi_application()
