"""Every address of the platform."""

from django.contrib import admin
from django.urls import include, path

from aggregator.portal.views.accounts import change_language

urlpatterns = [
    path("", include("aggregator.portal.urls")),
    path("i18n/setlang/", change_language, name="set_language"),
    path("admin/", admin.site.urls),
    path("oauth/", include("aggregator.api.oauth_urls")),
    path("api/compute/", include("compute_market.urls")),
    path("api/", include("aggregator.api.urls")),
]
