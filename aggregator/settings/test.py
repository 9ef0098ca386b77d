"""Tests: real servers (tests/conftest.py starts them), cheap password hashes, tasks sent to the real broker."""

from aggregator.settings.base import *

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["*"]
