"""Every address of the platform."""

from django.contrib import admin
from django.urls import include, path

from aggregator.api.openadr_host import HOST
from aggregator.portal.views.accounts import change_language
from aggregator.tasks import request_vtn_reading
from grid.api.openadr.callbacks import callback_addresses
from grid.api.openadr.urls import vtn_addresses
from grid.api.uftp import uftp_message

urlpatterns = [
    path("", include("aggregator.portal.urls")),
    path("i18n/setlang/", change_language, name="set_language"),
    path("admin/", admin.site.urls),
    path("oauth/", include("aggregator.api.oauth_urls")),
    path("openadr3/callbacks/", include(callback_addresses(request_vtn_reading))),
    path("openadr3/3.1.0/", include(vtn_addresses(HOST))),
    path("shapeshifter/api/v3/message", uftp_message),
    path("api/compute/", include("compute_market.urls")),
    path("api/", include("aggregator.api.urls")),
]
