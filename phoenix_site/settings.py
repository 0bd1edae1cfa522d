"""Settings of Phoenix, top to bottom; the only module that reads the environment.

Every variable is described in ``docs/operations.md``.
"""

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import django_stubs_ext
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy
from psycopg.conninfo import conninfo_to_dict

from phoenix_site.common.env import (
    env_bool,
    env_int,
    env_list,
    env_networks,
    env_seconds,
    env_secret,
    env_str,
)
from phoenix_site.common.logging import configure_structlog, logging_config

# Django's generic classes take type arguments only after this.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

# --- What runs where ---------------------------------------------------------------------------

PHOENIX_ENV = env_str("PHOENIX_ENV", "sandbox", choices=("sandbox", "prod"))
IS_PROD = PHOENIX_ENV == "prod"
DEBUG = env_bool("DEBUG", default=False)
ALL_GATEWAYS = (
    "ingestion",
    "query",
    "admin",
    "platform",
    "player",
    "tournaments",
    "internal",
    "launch",
    "ops",
    "docs",
)
PHOENIX_GATEWAYS = frozenset(env_list("PHOENIX_GATEWAYS", ",".join(ALL_GATEWAYS)))
if PHOENIX_GATEWAYS - set(ALL_GATEWAYS):
    unknown = ", ".join(sorted(PHOENIX_GATEWAYS - set(ALL_GATEWAYS)))
    raise ImproperlyConfigured(f"PHOENIX_GATEWAYS names unknown gateways: {unknown}.")
PHOENIX_FAST_DOOR = env_bool("PHOENIX_FAST_DOOR", default=True)
# How long a web process answers "not ready" before it stops listening.
PHOENIX_DRAIN_SECONDS = env_int("PHOENIX_DRAIN_MILLISECONDS", 500) / 1000
PHOENIX_DATA_DIR = Path(env_str("PHOENIX_DATA_DIR", str(BASE_DIR / ".phoenix")))
PHOENIX_BASE_URL = env_str("PHOENIX_BASE_URL", "http://127.0.0.1:8000")
PHOENIX_TRUSTED_PROXIES = env_list("PHOENIX_TRUSTED_PROXIES")

# --- Secrets -----------------------------------------------------------------------------------

# The stand-ins serve a sandbox on one machine; tenants.E0xx stops production that uses them.
DEVELOPMENT_SECRET_KEY = "phoenix-sandbox-only-" + "0" * 44
DEVELOPMENT_FERNET_KEY = "cGhvZW5peC1zYW5kYm94LW9ubHkta2V5LTAwMDAwMDA="
SECRET_KEY = env_secret("SECRET_KEY", development=None if IS_PROD else DEVELOPMENT_SECRET_KEY)
PHOENIX_SECRET_KEYS = env_list("PHOENIX_SECRET_KEYS") or (
    [] if IS_PROD else [DEVELOPMENT_FERNET_KEY]
)
PHOENIX_ADMIN_PASSWORD = env_str("PHOENIX_ADMIN_PASSWORD", "")

# --- Django ------------------------------------------------------------------------------------

ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "" if IS_PROD else "127.0.0.1,localhost,[::1],testserver")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
INSTALLED_APPS = [
    "phoenix_site",
    # The theme must come before Django's admin, whose templates it replaces.
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "tenants",
    "ingestion",
    "players",
    "rewards",
    "leaderboards",
]
MIDDLEWARE = [
    "phoenix_site.common.requests.RequestIdMiddleware",
    "phoenix_site.common.headers.ContentPolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Last, as its documentation asks: it turns a locked-out login into an answer.
    "axes.middleware.AxesMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
ROOT_URLCONF = "phoenix_site.urls"
ASGI_APPLICATION = "phoenix_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")
# One JSON body may be 1 MiB; the gateways check it themselves and answer 413.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# --- Security ----------------------------------------------------------------------------------

# The supervisor serves a sandbox without TLS; production stands behind a proxy that ends it.
SECURE_COOKIES = env_bool("PHOENIX_SECURE_COOKIES", default=IS_PROD)
SESSION_COOKIE_SECURE = SECURE_COOKIES
CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_AGE = env_int("PHOENIX_SESSION_SECONDS", 8 * 3600, minimum=60)
SECURE_HSTS_SECONDS = env_int("PHOENIX_HSTS_SECONDS", 31_536_000 if IS_PROD else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = IS_PROD
SECURE_HSTS_PRELOAD = IS_PROD
SECURE_SSL_REDIRECT = env_bool("PHOENIX_SSL_REDIRECT", default=IS_PROD)
# Probes reach the process directly, without the proxy.
SECURE_REDIRECT_EXEMPT = [r"^health$", r"^ready$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PHOENIX_TRUSTED_PROXIES else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "phoenix/admin/locked_out.html"
AXES_ENABLE_ADMIN = False
# Sign-ins are in the audit log; a second log would keep more of a person than it needs to.
AXES_DISABLE_ACCESS_LOG = True
# Further tries while locked out neither prolong the lock nor add to its row.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_CLIENT_IP_CALLABLE = "phoenix_site.common.requests.login_address"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "otp"]
OTP_TOTP_ISSUER = "Phoenix"
# Failed credentials per minute and pair of address and credential; above it they answer 429.
PHOENIX_AUTH_FAILURES_PER_MINUTE = env_int("PHOENIX_AUTH_FAILURES_PER_MINUTE", 100, minimum=1)

# --- PostgreSQL --------------------------------------------------------------------------------


def _database(url: str) -> dict[str, Any]:
    parts = conninfo_to_dict(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.get("dbname", "phoenix"),
        "USER": parts.get("user", ""),
        "PASSWORD": parts.get("password", ""),
        "HOST": parts.get("host", ""),
        "PORT": str(parts.get("port", "")),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            # The freeze of a window recognizes Phoenix's own transactions by this name.
            "application_name": "phoenix",
            "connect_timeout": 3,
            **({"sslmode": parts["sslmode"]} if parts.get("sslmode") else {}),
        },
        # Connections are made while a test changes the clock or the loop; never persistent there.
        "TEST": {"NAME": env_str("PHOENIX_TEST_DATABASE", "test_phoenix")},
    }


DATABASE_URL = env_str("DATABASE_URL", "postgresql:///phoenix")
DATABASES = {"default": _database(DATABASE_URL)}
if env_bool("PHOENIX_DB_POOL", default=False):
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": 10,
        "timeout": 5,
        # A pool left to itself tries ever more rarely, and sleeps on when the database is back.
        "reconnect_timeout": 1,
    }
elif "celery" in Path(sys.argv[0]).parts[-2:]:  # Its script, or "python -m celery".
    DATABASES["default"]["CONN_MAX_AGE"] = None

# --- Redis or Valkey ---------------------------------------------------------------------------

REDIS_URL = env_str("REDIS_URL", "redis://127.0.0.1:6379/0")
REDIS_KEY_PREFIX = env_str("PHOENIX_REDIS_PREFIX", "phoenix")


def _broker_url(url: str) -> str:
    """Return ``url`` as Celery's transport spells it: it names Unix sockets its own way."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    number = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.path}?virtual_host={number}"


CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": REDIS_KEY_PREFIX + ".live"},
    }
}

# --- Celery ------------------------------------------------------------------------------------

CELERY_BROKER_URL = _broker_url(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# No end: a worker waits for its broker however long it is away.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "global_keyprefix": REDIS_KEY_PREFIX + ".celery.",
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "retry_on_timeout": True,
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 600
CELERY_TASK_SOFT_TIME_LIMIT = 540
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 180_000
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TASK_DEFAULT_QUEUE = "celery"
CELERY_TIMEZONE = "UTC"
CELERY_TASK_ROUTES = {
    "leaderboards.tasks.score_events": {"queue": "scoring"},
    "players.tasks.register_players": {"queue": "players"},
    "ingestion.tasks.sweep_consumers": {"queue": "timed"},
    "leaderboards.tasks.sweep_windows": {"queue": "timed"},
    "leaderboards.tasks.close_window": {"queue": "timed"},
    "tenants.tasks.deliver_due": {"queue": "outbox"},
    "rewards.tasks.apply_rules": {"queue": "rewards"},
    "rewards.tasks.sweep_rules": {"queue": "timed"},
    "rewards.tasks.run_job": {"queue": "jobs"},
    "rewards.tasks.sweep_jobs": {"queue": "timed"},
    "rewards.tasks.sweep_streaks": {"queue": "timed"},
}
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "sweep-consumers": {"task": "ingestion.tasks.sweep_consumers", "schedule": 1.0},
    "worker-heartbeat": {"task": "ingestion.tasks.beat_heartbeat", "schedule": 5.0},
    "sweep-windows": {"task": "leaderboards.tasks.sweep_windows", "schedule": 1.0},
    "sweep-indexes": {"task": "leaderboards.tasks.sweep_indexes", "schedule": 5.0},
    # A snapshot is of the instant that it names, so it is taken soon after.
    "take-snapshots": {"task": "leaderboards.tasks.take_snapshots", "schedule": 5.0},
    "purge-snapshots": {"task": "leaderboards.tasks.purge_snapshots", "schedule": 3600.0},
    "purge-events": {"task": "ingestion.tasks.purge_events", "schedule": 3600.0},
    "deliver-due": {"task": "tenants.tasks.deliver_due", "schedule": 1.0},
    "sweep-rules": {"task": "rewards.tasks.sweep_rules", "schedule": 1.0},
    "purge-refusals": {"task": "rewards.tasks.purge_refusals", "schedule": 3600.0},
    "sweep-jobs": {"task": "rewards.tasks.sweep_jobs", "schedule": 1.0},
    "sweep-streaks": {"task": "rewards.tasks.sweep_streaks", "schedule": 2.0},
    "expire-grants": {"task": "rewards.tasks.expire_grants", "schedule": 10.0},
    "expire-lots": {"task": "rewards.tasks.expire_lots", "schedule": 10.0},
    "release-expired-holds": {"task": "rewards.tasks.release_expired_holds", "schedule": 10.0},
    # A tenant is due once a night; asking often finds those of a night that was missed.
    "enqueue-due-proofs": {"task": "rewards.tasks.enqueue_due_proofs", "schedule": 600.0},
    "purge-tenant-leftovers": {"task": "tenants.tasks.purge_leftovers", "schedule": 3600.0},
}
# A sweep that waited longer is pointless: the next one is in the queue. So a worker that was away
# for hours does not find thousands of them.
for _entry in CELERY_BEAT_SCHEDULE.values():
    _entry["options"] = {"expires": max(10.0, _entry["schedule"])}

# --- Events ------------------------------------------------------------------------------------

# The one way upwards from the log: who reads it, by dotted path. ``task`` is sent on a nudge,
# ``replay`` runs the consumer on one event again, ``effects`` says what it made of an event.
PHOENIX_EVENT_CONSUMERS: dict[str, dict[str, str]] = {
    "players.registration": {
        "task": "players.tasks.register_players",
        "replay": "players.services.consumption.replay_event",
    },
    "leaderboards.scoring": {
        "task": "leaderboards.tasks.score_events",
        "replay": "leaderboards.services.scoring.replay_event",
        "effects": "leaderboards.selectors.explanations.event_effects",
    },
    "rewards.rules": {
        "task": "rewards.tasks.apply_rules",
        "replay": "rewards.services.consumer.replay_event",
        "effects": "rewards.selectors.explanations.event_effects",
    },
}
# Functions (tenant_id) -> datetime | None: events received at or after it must not be purged yet.
PHOENIX_RETENTION_HOLDS: list[str] = ["leaderboards.selectors.windows.retention_hold"]

# --- Jobs --------------------------------------------------------------------------------------

# Kinds of work too long for a request: ``run`` is a function (JobRun) -> its result, ``scope`` the
# family of scopes that may read and cancel it.
PHOENIX_JOB_KINDS: dict[str, dict[str, str]] = {
    "backtest": {"run": "rewards.services.backtests.run"},
    "achievement_recompute": {"run": "rewards.services.achievement_recompute.run_recompute"},
    "coupon_codes": {"run": "rewards.services.coupon_codes.run_generation"},
    "coupon_import": {"run": "rewards.services.coupon_imports.run_import"},
    "ladder_apply": {"run": "rewards.services.ladder_changes.apply"},
    "ladder_preview": {"run": "rewards.services.ladder_changes.preview"},
    "rule_apply_past": {"run": "rewards.services.past.run"},
    "proof": {"run": "rewards.services.proofs.run_job", "scope": "wallet"},
}

# --- Deliveries --------------------------------------------------------------------------------

# Networks that outbound calls may reach although they are not public, also by plain http.
PHOENIX_OUTBOUND_ALLOW = env_networks("PHOENIX_OUTBOUND_ALLOW")
# Seconds before each attempt: at once, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h.
PHOENIX_RETRY_SCHEDULE = env_seconds(
    "PHOENIX_RETRY_SCHEDULE", "0,5,300,1800,7200,18000,36000,36000"
)
PHOENIX_DELIVERY_TASK = "tenants.tasks.deliver_due"
# Who hears how a delivery of a kind ended, by dotted path:
# (delivery_id, outcome: "delivered" | "failed", status: int | None, now), all by keyword.
PHOENIX_DELIVERY_HANDLERS: dict[str, str] = {
    "bonus_credit": "rewards.services.bonus.delivery_ended",
}

# --- REST framework and its description ---------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["phoenix_site.common.formats.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["phoenix_site.common.formats.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "phoenix_site.reference.document.GatewaySchema",
    "EXCEPTION_HANDLER": "phoenix_site.common.drf.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Phoenix",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["phoenix_site.reference.document.complete_document"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
SIMPLE_JWT = {"ALGORITHM": "EdDSA", "UPDATE_LAST_LOGIN": False}

# --- Static files ------------------------------------------------------------------------------

STATIC_URL = "static/"
# Where collected files with hashed names lie. Empty: they come straight from the apps.
PHOENIX_STATIC_ROOT = env_str("PHOENIX_STATIC_ROOT", "")
STATIC_ROOT = Path(PHOENIX_STATIC_ROOT or BASE_DIR / "staticfiles")
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "whitenoise.storage.CompressedManifestStaticFilesStorage"
            if PHOENIX_STATIC_ROOT
            else "django.contrib.staticfiles.storage.StaticFilesStorage"
        )
    },
}
WHITENOISE_USE_FINDERS = not PHOENIX_STATIC_ROOT
WHITENOISE_KEEP_ONLY_HASHED_FILES = True

# --- Logs --------------------------------------------------------------------------------------

PHOENIX_LOG_FORMAT = env_str(
    "PHOENIX_LOG_FORMAT", "json" if IS_PROD else "console", choices=("console", "json")
)
LOGGING = logging_config(PHOENIX_LOG_FORMAT, env_str("PHOENIX_LOG_LEVEL", "INFO"))
configure_structlog()

# --- Live updates ------------------------------------------------------------------------------

PHOENIX_LIVE_UPDATES_PER_SECOND = env_int("PHOENIX_LIVE_UPDATES_PER_SECOND", 10, minimum=1)
PHOENIX_SOCKETS_PER_PLAYER = env_int("PHOENIX_SOCKETS_PER_PLAYER", 20, minimum=1)

# --- Admin theme -------------------------------------------------------------------------------

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Phoenix",
    "SITE_HEADER": "Phoenix",
    "SITE_SUBHEADER": "Operations",
    # The demo page stands there in a sandbox only.
    "SITE_URL": None if IS_PROD else "/",
    "SITE_SYMBOL": "local_fire_department",
    "SITE_ICON": lambda request: static("phoenix/mark.svg"),
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("phoenix/mark.svg"),
        }
    ],
    "STYLES": [lambda request: static("phoenix/admin.css")],
    "LOGIN": {
        "image": lambda request: static("phoenix/login.svg"),
    },
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "phoenix_site.navigation.environment",
    "DASHBOARD_CALLBACK": "phoenix_site.admin.dashboard_context",
    "SIDEBAR": {"show_search": False, "navigation": "phoenix_site.navigation.sidebar"},
    "TABS": "phoenix_site.navigation.tabs",
    "BORDER_RADIUS": "6px",
    "COLORS": {
        "base": {
            "50": "250 250 249",
            "100": "245 245 244",
            "200": "231 229 228",
            "300": "214 211 209",
            "400": "168 162 158",
            "500": "120 113 108",
            "600": "87 83 78",
            "700": "68 64 60",
            "800": "41 37 36",
            "900": "28 25 23",
            "950": "12 10 9",
        },
        "primary": {
            "50": "255 247 237",
            "100": "255 237 213",
            "200": "254 215 170",
            "300": "253 186 116",
            "400": "251 146 60",
            "500": "234 88 12",
            "600": "214 72 10",
            "700": "180 56 12",
            "800": "146 46 16",
            "900": "120 40 16",
            "950": "67 18 7",
        },
    },
}

PHOENIX_TESTING = "pytest" in sys.modules or os.environ.get("PHOENIX_TESTING") == "1"
