"""Settings of every environment. Secrets and addresses come from the environment only.

A running platform (`make up`, `make demo`) leaves its addresses in `.run/env`; a shell started beside it picks them up
from there, so that `python manage.py …` reaches it without further ado. Variables that are set win.
"""

from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent.parent
env = environ.Env()
RUN_DIR = Path(env.str("PLATFORM_RUN_DIR", default=str(BASE_DIR / ".run")))
if "DATABASE_URL" not in env.ENVIRON and (RUN_DIR / "env").exists():
    environ.Env.read_env(str(RUN_DIR / "env"))

# Without a key of its own a process may compute and check, but it signs nothing that another would accept.
SECRET_KEY = env.str("SECRET_KEY", default="") or __import__("secrets").token_urlsafe(50)
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

DATABASE_URL = env.str("DATABASE_URL", default="postgresql://127.0.0.1:5432/aggregator")
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
MQTT_URL = env.str("MQTT_URL", default="mqtt://127.0.0.1:1883")
# Where the embedded broker reads its users from; empty when the broker manages its own.
MQTT_CREDENTIALS_FILE = env.str("MQTT_CREDENTIALS_FILE", default="")
# The address under which charging stations reach the gateway; shown to people who connect one.
OCPP_URL = env.str("OCPP_URL", default="ws://127.0.0.1:9000")

# Folder of our certificate authority and of the gateways' certificate; see create_ca. Empty: stations come without TLS,
# or through a proxy that ends it. The passphrase opens the authority's key and is needed by the worker alone.
OCPP_CERTIFICATES = env.str("OCPP_CERTIFICATES", default="")
OCPP_CA_PASSPHRASE = env.str("OCPP_CA_PASSPHRASE", default="")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "rest_framework",
    "oauth2_provider",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "fleet",
    "grid",
    "compute_market",
    "aggregator",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "aggregator.portal.middleware.ContentSecurityPolicy",
]

ROOT_URLCONF = "aggregator.urls"
WSGI_APPLICATION = "aggregator.wsgi.application"
AUTH_USER_MODEL = "aggregator.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "aggregator" / "portal" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["aggregator.portal.tags"],
        },
    },
]

DATABASES = {
    "default": {
        **env.db_url_config(DATABASE_URL),
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        # "local time zone" of the server must never matter
        "OPTIONS": {"options": "-c timezone=UTC"},
    }
}

CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "portal:login"
LOGIN_REDIRECT_URL = "portal:home"
LOGOUT_REDIRECT_URL = "portal:login"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ja", "日本語")]
LOCALE_PATHS = [BASE_DIR / "aggregator" / "portal" / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

STATIC_URL = "/static/"
# a folder of register profiles for inverters without SunSpec, beside those that ship with the platform
MODBUS_PROFILES_DIR = env.str("MODBUS_PROFILES_DIR", default="")
STATIC_ROOT = RUN_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "aggregator" / "portal" / "static"]
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["oauth2_provider.contrib.rest_framework.OAuth2Authentication"],
    "DEFAULT_PERMISSION_CLASSES": ["oauth2_provider.contrib.rest_framework.TokenMatchesOASRequirements"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "aggregator.api.errors.handle_exception",
    "DEFAULT_PAGINATION_CLASS": "aggregator.api.paging.KeysetPagination",
    "PAGE_SIZE": 100,
}
# Calls of one client per minute; beyond them it gets 429 until the next minute.
API_READS_PER_MINUTE = env.int("API_READS_PER_MINUTE", default=12_000)
API_WRITES_PER_MINUTE = env.int("API_WRITES_PER_MINUTE", default=1_200)
# OpenADR clients poll and send in bursts; the limit is there for those that run wild.
OPENADR_CALLS_PER_MINUTE = env.int("OPENADR_CALLS_PER_MINUTE", default=30_000)
# Call-backs go to public HTTPS addresses. With this on, the loopback address may be called too, also without TLS.
OPENADR_ALLOW_INSECURE_CALLBACKS = env.bool("OPENADR_ALLOW_INSECURE_CALLBACKS", default=False)
# Under which addresses OpenADR clients reach the broker (mqtts://…); without any, notifications go by call-back alone.
OPENADR_MQTT_URIS = env.list("OPENADR_MQTT_URIS", default=[])
# Where outside VTNs reach us with call-backs: https://…/openadr3/callbacks; without it they are polled.
OPENADR_CALLBACK_URL = env.str("OPENADR_CALLBACK_URL", default="")
# UFTP (Shapeshifter): the domain that we sign under, and our Ed25519 key in base64; without a domain it is not in use.
UFTP_DOMAIN = env.str("UFTP_DOMAIN", default="")
UFTP_PRIVATE_KEY = env.str("UFTP_PRIVATE_KEY", default="")
# Participants are reached by https only, unless this is on, for tests on one machine.
UFTP_ALLOW_INSECURE_ENDPOINTS = env.bool("UFTP_ALLOW_INSECURE_ENDPOINTS", default=False)
SPECTACULAR_SETTINGS = {
    "TITLE": "Vehicle-to-grid and idle-compute aggregator",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "ENUM_NAME_OVERRIDES": {"EventState": "aggregator.api.events.STATES", "JobState": "aggregator.api.jobs.STATES"},
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api",
    "PREPROCESSING_HOOKS": ["aggregator.api.schema.keep_canonical_paths"],
    "OAUTH2_FLOWS": ["clientCredentials"],
    "OAUTH2_TOKEN_URL": "/oauth/token/",
}
OAUTH2_PROVIDER_APPLICATION_MODEL = "oauth2_provider.Application"
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "oauth2_provider.AccessToken"
OAUTH2_PROVIDER_ID_TOKEN_MODEL = "oauth2_provider.IDToken"
OAUTH2_PROVIDER_GRANT_MODEL = "oauth2_provider.Grant"
OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL = "oauth2_provider.RefreshToken"
OAUTH2_PROVIDER = {
    "SCOPES_BACKEND_CLASS": "aggregator.api.scopes.RoleScopes",
    "SCOPES": {
        "events:read": "Read programmes, events and their delivery",
        "events:write": "Create and cancel events",
        "fleet:read": "Read aggregates of sites and devices",
        "settlements:read": "Read settlements",
        "stations:read": "Read charging stations, their settings, events and commands",
        "stations:write": "Command charging stations, reserve them and roll out firmware",
        "jobs:read": "Read one's own computing jobs",
        "jobs:write": "Submit and cancel computing jobs",
        "read_all": "OpenADR: read everything that is the operator's",
        "read_bl": "OpenADR: read the broker's topics of whole collections",
        "read_targets": "OpenADR: read programmes and events by granted targets",
        "read_ven_objects": "OpenADR: read what is the node's own",
        "write_programs": "OpenADR: write programmes",
        "write_events": "OpenADR: write events",
        "write_reports": "OpenADR: write reports",
        "write_subscriptions": "OpenADR: write subscriptions",
        "write_vens": "OpenADR: write nodes and resources",
    },
    "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
}

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
# A task that a killed worker held is given out again after this many seconds.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": env.int("CELERY_VISIBILITY_TIMEOUT_S", default=60)}

# Readings from further in the future than this are refused: the device's clock is wrong.
READING_MAX_FUTURE_S = 60
READING_RETENTION_DAYS = env.int("READING_RETENTION_DAYS", default=400)
# The trace of what was said to and by devices.
MESSAGE_RETENTION_DAYS = env.int("MESSAGE_RETENTION_DAYS", default=30)

# With this probability a plan holds drivers' needs and the grid's power, should cars leave before they are expected to.
PLAN_PROBABILITY = env.float("PLAN_PROBABILITY", default=0.95)

# Among assets of nearly equal cost those go first whose owners were called least: so much of the mean price is "nearly".
FAIRNESS_FRACTION = env.float("FAIRNESS_FRACTION", default=0.02)

# After a reduction its participants may draw so much of its target above their baseline, for so long; a kWh beyond it
# costs so much of the mean price.
REBOUND_FRACTION = env.float("REBOUND_FRACTION", default=0.5)
REBOUND_S = env.int("REBOUND_S", default=3600)
REBOUND_PRICE_FRACTION = env.float("REBOUND_PRICE_FRACTION", default=1.0)

# Whose account payouts leave from; without it they can be exported as CSV only.
PAYOUT_DEBTOR_NAME = env.str("PAYOUT_DEBTOR_NAME", default="")
PAYOUT_DEBTOR_IBAN = env.str("PAYOUT_DEBTOR_IBAN", default="")
PAYOUT_DEBTOR_BIC = env.str("PAYOUT_DEBTOR_BIC", default="")

# Idle computing. A lease that is not renewed for COMPUTE_LEASE_S is lost; agents report work, save their state and look
# for jobs this often. Prices by currency: energy per kWh where an owner names none, wear of a computer per cpu-hour.
COMPUTE_LEASE_S = env.int("COMPUTE_LEASE_S", default=20)
COMPUTE_REPORT_S = env.float("COMPUTE_REPORT_S", default=5)
COMPUTE_CHECKPOINT_S = env.float("COMPUTE_CHECKPOINT_S", default=60)
COMPUTE_POLL_S = env.float("COMPUTE_POLL_S", default=4)
COMPUTE_PLATFORM_SHARE_FRACTION = env.str("COMPUTE_PLATFORM_SHARE_FRACTION", default="0.20")
COMPUTE_MARGIN_FRACTION = env.str("COMPUTE_MARGIN_FRACTION", default="0.10")
COMPUTE_ENERGY_PRICE_PER_KWH = {"EUR": "0.25", "JPY": "31", "USD": "0.17", "GBP": "0.27"}
COMPUTE_WEAR_PER_CPU_HOUR = {"EUR": "0.0010", "JPY": "0.16", "USD": "0.0010", "GBP": "0.0008"}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
}

SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
