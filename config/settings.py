"""The settings of every process, from the environment; all bad variables are reported at once."""

from __future__ import annotations

import ipaddress
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dj_database_url
from environs import Env, ValidationError, validate

from config import console
from jobs.queues import QUEUES

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

env = Env(eager=False)

# --- Where things are -------------------------------------------------------------------------
HOME = Path(env.str("FLAGSHIP_HOME", str(BASE_DIR / ".flagship"))).resolve()


def _embedded(name: str) -> dict[str, Any]:
    """Read what a running `manage.py up` left in the home for its other processes."""
    try:
        return dict(json.loads((HOME / name).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


_servers = _embedded("servers.json")
# Nothing listens on port 1: without a system running, commands that need a server say so.
REDIS_URL = env.str("REDIS_URL", "") or _servers.get("REDIS_URL", "redis://127.0.0.1:1/0")
PUBLIC_URL = env.str("PUBLIC_URL", "") or _servers.get("PUBLIC_URL", "http://127.0.0.1:8000")
STREAMS_URL = env.str("STREAMS_URL", "") or _servers.get("STREAMS_URL", "http://127.0.0.1:8001")
STORAGE_DIR = Path(env.str("STORAGE_DIR", str(HOME / "storage"))).resolve()

# --- Security ---------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", False)
# Embedded systems generate a key of their own; everything else has to bring one.
SECRET_KEY = env.str("FLAGSHIP_SECRET_KEY", _embedded("secrets.json").get("secret_key", ""))
# Fernet keys for secrets at rest: the first encrypts, all decrypt. Without any, one made from the
# secret key, which then cannot be changed without losing them.
ENCRYPTION_KEYS: list[str] = env.list("ENCRYPTION_KEYS", [])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", [PUBLIC_URL])
# Behind TLS: cookies that no plain connection carries, and no plain connection at all.
SECURE_COOKIES = env.bool("SECURE_COOKIES", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
# With the prefix a browser takes them from this very host alone, over TLS, for all of it.
_host = "__Host-" if SECURE_COOKIES else ""
SESSION_COOKIE_NAME = f"{_host}sessionid"
CSRF_COOKIE_NAME = f"{_host}csrftoken"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# The only login is the console's; where nobody says where to go, it leads there.
LOGIN_URL, LOGIN_REDIRECT_URL = "admin:login", "admin:index"
# A login lasts so long at most, and so long without a request.
SESSION_COOKIE_AGE = env.int("SESSION_LIFETIME_S", 8 * 3600, validate=validate.Range(min=60))
SESSION_IDLE_S = env.int("SESSION_IDLE_S", 30 * 60, validate=validate.Range(min=60))
SECURE_SSL_REDIRECT = SECURE_COOKIES
# Asked over plain HTTP by what watches the process itself.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
# The proxy in front replaces what a client claims (deploy/nginx.conf).
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_COOKIES else None
SECURE_HSTS_SECONDS = env.int("HSTS_S", 365 * 24 * 3600) if SECURE_COOKIES else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("HSTS_SUBDOMAINS", True)
# W021: preload consents to a list in every browser that a name leaves only after months; whoever
# owns the whole domain may decide that, not a program on one of its hosts.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Where browsers report what the Content-Security-Policy refused; nowhere unless set.
CSP_REPORT_URL = env.str("CSP_REPORT_URL", "", validate=validate.Regexp(r"[^\s;,]*\Z"))

# --- Django -----------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "config.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    # Before django_rq: `rqworker` and `rqscheduler` are ours, with its options.
    "jobs",
    "flagship",
    "credits",
    "builds",
    "django_rq",
]
MIDDLEWARE = [
    "flagship.middleware.request_context.RequestContextMiddleware",
    "flagship.middleware.browser.BrowserMiddleware",
    "flagship.middleware.wall.PlatformMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "flagship.middleware.sessions.ConsoleSessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "flagship.middleware.sessions.ConsoleAuthenticationMiddleware",
    "flagship.middleware.sessions.SessionLimitsMiddleware",
    "flagship.middleware.sessions.ConsoleMessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "flagship.middleware.old_paths.OldPathsMiddleware",
    "flagship.middleware.body_limit.BodyLimitMiddleware",
    "flagship.middleware.api_key.ApiKeyMiddleware",
    "flagship.middleware.rate_limit.RateLimitMiddleware",
    "flagship.middleware.signature.SignatureMiddleware",
    "flagship.middleware.idempotency.IdempotencyMiddleware",
    "flagship.middleware.wall.WallMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
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
# None while a bad URL waits to be reported with the others, at the end.
_database = (
    env.dj_db_url("DATABASE_URL")
    if env.str("DATABASE_URL", "")
    else dj_database_url.parse(_servers.get("DATABASE_URL", "postgresql://127.0.0.1:1/x"))
)
DATABASES: dict[str, Any] = {
    "default": {
        **(_database or {}),
        "CONN_MAX_AGE": env.int("DATABASE_CONN_MAX_AGE_S", 600),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 2,
            "application_name": "flagship",
            # The engine's statements keep their plans; behind a pooler that cannot, set it to 0.
            "prepare_threshold": env.int("DATABASE_PREPARE_THRESHOLD", 5) or None,
            "options": "-c statement_timeout=15000 -c lock_timeout=3000"
            " -c idle_in_transaction_session_timeout=15000"
            # Of disks without arms. A plan that is kept from when its table had a few pages would
            # read all of it, for every foreign key, until the table is analyzed again.
            " -c random_page_cost=1.1",
        },
    }
}
# What requests of clients run as, so that row-level security binds them; "" does without.
DATABASE_TENANT_ROLE = env.str(
    "DATABASE_TENANT_ROLE",
    "flagship_tenant",
    validate=validate.Regexp(r"([a-z_][a-z0-9_]{0,62})?$"),
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "/static/"
# Served from where the packages have them: nothing to collect.
WHITENOISE_USE_FINDERS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
LOGIN_URL = "admin:login"

# --- REST API ---------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["flagship.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["flagship.api.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["flagship.api.parsers.StrictJsonParser"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "flagship.api.negotiation.Negotiation",
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_SCHEMA_CLASS": "flagship.api.schema.FlagShipAutoSchema",
    "EXCEPTION_HANDLER": "flagship.api.exception_handler.handle_exception",
    "UNAUTHENTICATED_USER": None,
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
}
# Paths under /api answer as those under /v1 do, and say so: since when they are not the ones to
# use (RFC 9745), and when they may go (RFC 8594).
OLD_PATHS_DEPRECATED_AT = datetime(2026, 11, 22, tzinfo=UTC)
OLD_PATHS_SUNSET_AT = datetime(2027, 12, 1, tzinfo=UTC)
SPECTACULAR_SETTINGS = {
    "TITLE": "FlagShip",
    "DESCRIPTION": "Builds, credits and jobs over HTTP.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SORT_OPERATIONS": "flagship.api.schema.old_paths_last",
    # Enumerations stay where they are used: names for them would have to be kept by hand.
    "POSTPROCESSING_HOOKS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}


def _are_networks(texts: list[str]) -> None:
    """Refuse what is no address or network. Raises: ValidationError."""
    try:
        for text in texts:
            ipaddress.ip_network(text)
    except ValueError as error:
        raise ValidationError(str(error)) from None


# --- Rate limits (docs/limits.md) -------------------------------------------------------------
_quota = validate.Regexp(
    r"^(off|[1-9][0-9]{0,6}/[1-9][0-9]{0,4})\Z", error="Not requests/seconds, nor off."
)
# Requests in any so many seconds; an organization may have its own of the first four.
RATE_LIMIT_IP = env.str("RATE_LIMIT_IP", "3000/60", validate=_quota)
RATE_LIMIT_ORGANIZATION = env.str("RATE_LIMIT_ORGANIZATION", "3000/60", validate=_quota)
RATE_LIMIT_KEY = env.str("RATE_LIMIT_KEY", "1200/60", validate=_quota)
RATE_LIMIT_USER = env.str("RATE_LIMIT_USER", "600/60", validate=_quota)
# Visitors of published sites, by address.
RATE_LIMIT_SITE = env.str("RATE_LIMIT_SITE", "6000/60", validate=_quota)
# API processes in all: without Redis each lets its share of every quota through.
RATE_LIMIT_PROCESSES = env.int("RATE_LIMIT_PROCESSES", 2, validate=validate.Range(min=1))
# Networks of proxies whose X-Forwarded-For is believed; from all others it is ignored.
TRUSTED_PROXIES: list[str] = env.list(
    "TRUSTED_PROXIES", [], subcast=str.strip, validate=_are_networks
)

# --- Queues -----------------------------------------------------------------------------------
_queue = {"URL": REDIS_URL, "DEFAULT_TIMEOUT": 3600}
# django-rq wants a `default` entry; nothing is ever enqueued there.
RQ_QUEUES = {name: dict(_queue) for name in ("default", *QUEUES)}
RQ = {
    "JOB_CLASS": "jobs.worker.doorbell.Doorbell",
    "WORKER_CLASS": "jobs.worker.worker.ThreadWorker",
    "SCHEDULER_CLASS": "jobs.worker.scheduler.SweepingScheduler",
    "COMMIT_MODE": "auto",
}
RQ_SHOW_ADMIN_LINK = False
WORKER_SLOTS = env.int("WORKER_SLOTS", 100)
# Threads for transactional and batch jobs, which wait for nothing but the database.
WORKER_LANES = env.int("WORKER_LANES", 4)
# Processes at once for jobs that must run alone.
WORKER_CELLS = env.int("WORKER_CELLS", 4)
# A worker that grows beyond this leaves, and is started anew; 0 is no limit.
WORKER_MEMORY_BYTES = env.int("WORKER_MEMORY_BYTES", 0)
# A worker in which no thread could run for this long is stuck in C and ends itself.
WORKER_FREEZE_LIMIT_S = env.float("WORKER_FREEZE_LIMIT_S", 20.0)
WORKER_DRAIN_LIMIT_S = env.float("WORKER_DRAIN_LIMIT_S", 25.0)
JOB_LEASE_S = env.float("JOB_LEASE_S", 15.0)
JOB_LEASE_RENEWAL_S = env.float("JOB_LEASE_RENEWAL_S", 5.0)
SWEEP_INTERVAL_S = env.float("SWEEP_INTERVAL_S", 0.5)
# How long a doorbell may be on its way before Redis is asked whether it still has it.
JOB_LOST_AFTER_S = env.float("JOB_LOST_AFTER_S", 10.0)
# Jobs that ended longer ago are deleted each hour with their attempts and answered dead letters.
JOB_RETENTION_DAYS = env.float("JOB_RETENTION_DAYS", 30.0, validate=validate.Range(min=1))
# Open dead letters of acknowledged groups are deleted weekly when they are older than this.
DEAD_LETTER_RETENTION_DAYS = env.float(
    "DEAD_LETTER_RETENTION_DAYS", 30.0, validate=validate.Range(min=1)
)
# How long it is known what a deleted dead letter was.
TOMBSTONE_RETENTION_DAYS = env.float(
    "TOMBSTONE_RETENTION_DAYS", 365.0, validate=validate.Range(min=1)
)
# A job that services have throttled for this long is a dead letter; 0: it never is (W-16).
JOB_THROTTLED_MAX_S = env.float("JOB_THROTTLED_MAX_S", 7 * 86400.0, validate=validate.Range(min=0))
# Unfinished jobs that an organization's clients may have; one more is refused (W-10).
JOBS_IN_FLIGHT_MAX = env.int("JOBS_IN_FLIGHT_MAX", 50)
# Dead letters that one operator may answer by a filter; more wait for a second one's approval.
REDRIVE_APPROVAL_SIZE = env.int("REDRIVE_APPROVAL_SIZE", 1000, validate=validate.Range(min=0))
WORKER_DB_CONNECTIONS = env.int("WORKER_DB_CONNECTIONS", 32)
# A worker whose database is away for this long leaves with exit code 1; it is started anew.
WORKER_AWAY_LIMIT_S = env.float("WORKER_AWAY_LIMIT_S", 30.0)

# --- Credits ----------------------------------------------------------------------------------
# How long a hold may last in all, however often it is extended; a constraint stops at a week.
RESERVATION_CEILING_S = env.float(
    "RESERVATION_CEILING_S", 4 * 3600.0, validate=validate.Range(min=1800, max=7 * 24 * 3600)
)

# --- Builds -----------------------------------------------------------------------------------
# auto: bubblewrap where present; required: refuse to build without it; off: never.
BUILD_SANDBOX = env.str(
    "BUILD_SANDBOX", "auto", validate=validate.OneOf(["auto", "required", "off"])
)
BUILD_TIMEOUT_S = env.float("BUILD_TIMEOUT_S", 600.0)
BUILD_MEMORY_BYTES = env.int("BUILD_MEMORY_BYTES", 2 * 1024**3)
BUILD_OUTPUT_BYTES = env.int("BUILD_OUTPUT_BYTES", 512 * 1024**2)
SOURCE_ARCHIVE_BYTES = env.int("SOURCE_ARCHIVE_BYTES", 50 * 1024**2)
SOURCE_UNPACKED_BYTES = env.int("SOURCE_UNPACKED_BYTES", 256 * 1024**2)
SOURCE_FILES = env.int("SOURCE_FILES", 10_000)

# --- Git sources, and calls to addresses that clients name ------------------------------------
GIT_PACK_BYTES = env.int("GIT_PACK_BYTES", 100 * 1024**2)
GIT_FETCH_TIMEOUT_S = env.float("GIT_FETCH_TIMEOUT_S", 120.0)
OUTGOING_PORTS = env.list("OUTGOING_PORTS", [443], subcast=int)
# Certificate authorities to believe instead of the usual ones.
OUTGOING_CA_FILE = env.str("OUTGOING_CA_FILE", "")
# For tests of a system on one machine: addresses to call although they are not public. Whoever may
# name a URL reaches what listens there; a system check warns while it is set.
OUTGOING_TEST_ADDRESSES: list[str] = env.list("OUTGOING_TEST_ADDRESSES", [])

# --- Telemetry and heartbeats -----------------------------------------------------------------
# shared: a table, seen by every process; memory: each process sees its own.
TELEMETRY_SINK = env.str("TELEMETRY_SINK", "shared", validate=validate.OneOf(["shared", "memory"]))
TELEMETRY_KEEP_S = env.float("TELEMETRY_KEEP_S", 7 * 24 * 3600.0)
TELEMETRY_KEEP_EVENTS = env.int("TELEMETRY_KEEP_EVENTS", 100_000)
# What one process may publish in the long run; what is more is dropped and counted. 0: no limit.
TELEMETRY_EVENTS_PER_S = env.float("TELEMETRY_EVENTS_PER_S", 100.0, validate=validate.Range(min=0))
# Event streams of all kinds open at once; a reader that takes nothing for that long is cut off.
STREAMS_PER_KEY = env.int("STREAMS_PER_KEY", 10)
STREAMS_MAX = env.int("STREAMS_MAX", 500)
STREAMS_DB_CONNECTIONS = env.int("STREAMS_DB_CONNECTIONS", 12)
STREAM_STALL_S = env.float("STREAM_STALL_S", 30.0)
WORKER_HEARTBEAT_S = env.float("WORKER_HEARTBEAT_S", 30.0)
WORKER_STALE_S = env.float("WORKER_STALE_S", 120.0)
# How long the row of a worker that is gone can still be seen.
WORKER_KEEP_S = env.float("WORKER_KEEP_S", 24 * 3600.0)

# --- Logs -------------------------------------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s%(trace)s"}},
    "filters": {"trace": {"()": "jobs.trace.TraceFilter"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["trace"]}
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
}


UNFOLD = console.UNFOLD

env.seal()
