"""The authorisation server: tokens for clients, and nothing of OAuth2 that programs do not need."""

from django.urls import path
from oauth2_provider.views import IntrospectTokenView, RevokeTokenView, TokenView

app_name = "oauth2_provider"

urlpatterns = [
    path("token/", TokenView.as_view(), name="token"),
    path("token", TokenView.as_view()),
    path("revoke_token/", RevokeTokenView.as_view(), name="revoke-token"),
    path("introspect/", IntrospectTokenView.as_view(), name="introspect"),
]
