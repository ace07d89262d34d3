"""Django settings: one module, from the environment only (docs/settings.md)."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONCE, NONE, SELF

from metrics_app.history.tiers import DAY, HOUR, tiers_make
from sparkweb import config
from sparkweb.admin_look import UNFOLD  # noqa: F401
from sparkweb.api_settings import REST_FRAMEWORK, SPECTACULAR_SETTINGS  # noqa: F401
from sparkweb.audit_settings import AUDIT_KEEP_DAYS, MASK_RULES  # noqa: F401
from sparkweb.env import (
    EnvironmentInvalid,
    env_bool,
    env_float,
    env_int,
    env_list,
    env_path,
    env_str,
    env_time_zone,
    env_url,
)
from sparkweb.installation import secret_key_read
from sparkweb.limits import LOG_CONTAINER_MB, LOG_KEEP_MB, STAGE_LIMIT_SECONDS  # noqa: F401
from sparkweb.sandbox_settings import *  # noqa: F403

BASE_DIR = config.BASE_DIR
DATA_DIR = config.DATA_DIR
NODE_NAME = config.NODE_NAME
REDIS_URL = config.REDIS_URL
SANDBOX_RESERVE_MB = config.SANDBOX_RESERVE_MB

DEBUG = config.DEBUG
SECRET_KEY = env_str(
    "SPARKWEB_SECRET_KEY",
    "",
    "Key that signs sessions; made once in the data folder if unset.",
    secret=True,
) or secret_key_read(DATA_DIR)
ADMIN_PASSWORD = env_str(
    "SPARKWEB_ADMIN_PASSWORD",
    "",
    "Password of the first user, admin, at the first start; a one-time password is printed if unset.",
    secret=True,
)

# Who may talk to us ------------------------------------------------------------

LOOPBACK_NAMES = ["127.0.0.1", "localhost", "[::1]"]
ALLOWED_HOSTS = env_list(
    "SPARKWEB_ALLOWED_HOSTS",
    [],
    "Host names that browsers may use for this server, besides the loopback names and SPARKWEB_HOST. "
    "`*` is refused: it would open the door to DNS rebinding.",
)
ALLOWED_HOSTS += LOOPBACK_NAMES + ([config.HOST] if config.HOST not in ("0.0.0.0", "::") else [])  # noqa: S104
HTTPS = env_bool(
    "SPARKWEB_HTTPS", False, "Set when a reverse proxy serves SparkWeb over HTTPS: secure cookies."
)
TRUSTED_PROXIES = env_list(
    "SPARKWEB_TRUSTED_PROXIES",
    [],
    "Addresses of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.",
)
CSRF_TRUSTED_ORIGINS = env_list(
    "SPARKWEB_CSRF_TRUSTED_ORIGINS", [], "Origins (https://name) of a reverse proxy in front of SparkWeb."
)
COMPAT_PORTS = env_list(
    "SPARKWEB_COMPAT_PORTS",
    [],
    "Old ports that web listens on too, for clients of the services it replaces: 5174,5175,5176.",
)

SESSION_COOKIE_NAME = "sparkweb_session"
CSRF_COOKIE_NAME = "sparkweb_csrf"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = 3600 * env_int(
    "SPARKWEB_SESSION_HOURS", 336, "Hours until a login ends.", low=1, high=8760
)
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
# TrustedProxyMiddleware drops this header unless a listed proxy sent it.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = False  # the proxy redirects; loopback clients stay on HTTP
X_FRAME_OPTIONS = "DENY"
# Strict everywhere; /admin/ alone gets unsafe-eval, which its kit needs (accounts.middleware).
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, "'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "font-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
SILENCED_SYSTEM_CHECKS = [
    "security.W008",  # the reverse proxy redirects to HTTPS
    *(() if HTTPS else ("security.W004", "security.W012", "security.W016")),  # loopback without TLS
]

# The house ---------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "sparkweb.apps.SparkwebConfig",
    "sparkweb.accounts",
    "sparkweb.node_link",
    "sparkweb.outbox",
    "metrics_app",
    "models_app",
    "sandbox_app",
    "chat_app",
    "transcripts_app",
    "transcripts_app.archive",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
    "axes",
    "csp",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "sparkweb.accounts.middleware.TrustedProxyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "sparkweb.accounts.middleware.LoginEverywhereMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "sparkweb.urls"
ASGI_APPLICATION = "sparkweb.asgi.application"
APPEND_SLASH = False  # a redirected POST loses its body; compat paths answer both ways
# Above the largest piece that a node sends; sparkweb.body_limit bounds what reaches Django at all.
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 2**20
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
                "csp.context_processors.nonce",
                "metrics_app.context.alerts_now",
                "sparkweb.context.page",
            ],
            "builtins": ["sparkweb.templatetags.sparkweb"],
        },
    }
]
LANGUAGE_CODE = "en"
TIME_ZONE = env_time_zone(
    "SPARKWEB_TIME_ZONE", "UTC", "Time zone of dates on pages and in exports, like Europe/Berlin."
)
USE_TZ = True
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Data --------------------------------------------------------------------------

DATABASE_URL = env_url(
    "DATABASE_URL",
    "",
    "PostgreSQL (postgresql://…) for the main database; SQLite in the data folder if unset.",
    ("postgresql", "postgres", "sqlite"),
    secret=True,
)
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 10,
    # FULL: with NORMAL a power cut may drop the last commit. Source: sqlite.org/pragma.html
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864; "
    "PRAGMA cache_size=-16000; PRAGMA temp_store=MEMORY;",
}


def _database() -> dict[str, Any]:
    if not DATABASE_URL or DATABASE_URL.startswith("sqlite"):
        path = DATABASE_URL.removeprefix("sqlite:///") or DATA_DIR / "db.sqlite3"
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(path),
            "OPTIONS": SQLITE_OPTIONS,
            "CONN_MAX_AGE": None,
        }
    return dict(dj_database_url.parse(DATABASE_URL, conn_max_age=600, conn_health_checks=True))


# Transcripts: always a file of its own, written by the import process alone (docs/transcripts-archive.md).
ARCHIVE_PATH = env_path(
    "SPARKWEB_ARCHIVE",
    DATA_DIR / "archive.sqlite3",
    "File of the transcript archive, on a local disk of the machine that runs web.",
    shown="<data folder>/archive.sqlite3",
)
DATABASES = {
    "default": _database(),
    "archive": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ARCHIVE_PATH,
        "OPTIONS": {
            "timeout": 10,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32000; "
            "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=268435456;",
        },
        "CONN_MAX_AGE": None,
    },
}
DATABASE_ROUTERS = ["transcripts_app.archive.router.ArchiveRouter"]
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = timedelta(minutes=10)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_HANDLER = "axes.handlers.database.AxesDatabaseHandler"
AXES_LOCKOUT_TEMPLATE = "accounts/locked.html"
AXES_VERBOSE = False

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            # The layer waits 5 s in Redis for a message, redis-py as long for the answer: let it wait longer.
            "hosts": [{"address": REDIS_URL, "socket_timeout": 15, "socket_connect_timeout": 2}],
            "prefix": "sparkweb:layer",
            "capacity": 100,
            "expiry": 10,
            "group_expiry": 60,  # web joins again every 5 s; a process that died is forgotten
            # In clear within the machine; encrypted when Redis is elsewhere.
            **(
                {}
                if REDIS_URL.startswith("unix:")
                else {"symmetric_encryption_keys": [hashlib.sha256(SECRET_KEY.encode()).hexdigest()]}
            ),
        },
    }
}

# Static files ------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = env_path(
    "SPARKWEB_STATIC_ROOT",
    BASE_DIR / "staticfiles",
    "Folder that collected static files are served from.",
    shown="<repository>/staticfiles",
)
STATICFILES_DIRS = [
    BASE_DIR / "static",
    ("vendor/tabler", BASE_DIR / "node_modules/@tabler/core/dist"),
    ("vendor/htmx", BASE_DIR / "node_modules/htmx.org/dist"),
    ("vendor/uplot", BASE_DIR / "node_modules/uplot/dist"),
    ("vendor/inter", BASE_DIR / "node_modules/@fontsource-variable/inter/files"),
]
STATICFILES_FINDERS = [
    "sparkweb.static_finders.ListedFilesFinder",
    "sparkweb.static_finders.UsedAppsFinder",
]
# Third-party files that pages really use; nothing else of node_modules is collected.
STATICFILES_LISTED = {
    "vendor/tabler": ["css/tabler.min.css"],
    "vendor/htmx": ["htmx.min.js"],
    "vendor/uplot": ["uPlot.esm.js", "uPlot.min.css"],
    "vendor/inter": ["inter-latin-wght-normal.woff2", "inter-latin-ext-wght-normal.woff2"],
}
ICONS_DIR = BASE_DIR / "node_modules/@tabler/icons/icons/outline"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "sparkweb.static_finders.ModuleManifestStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG

# What SparkWeb itself is told --------------------------------------------------

TOOLS_DIR = env_path(
    "SPARKWEB_TOOLS_DIR",
    DATA_DIR / "tools",
    "Folder of your own tools, one folder with a TOOL.md each; they go before shipped ones of the same name.",
    shown="<data folder>/tools",
)
MEMORY_RESERVE_GB = env_int(
    "SPARKWEB_MEMORY_RESERVE_GB", 4, "Memory (GiB) that a start must leave for the host.", low=0, high=64
)
LAUNCH_EVENTS_KEEP_DAYS = env_int(
    "SPARKWEB_LAUNCH_KEEP_DAYS", 365, "Days that ended launches are kept.", low=1, high=3650
)
USAGE_KEEP_DAYS = env_int(
    "SPARKWEB_USAGE_KEEP_DAYS", 730, "Days that the ledger of requests to models is kept.", low=1, high=36_500
)
METRICS_ALLOW = env_list(
    "SPARKWEB_METRICS_ALLOW", [], "Addresses or networks that may read /metrics without an API key."
)
ELECTRICITY_PRICE = (
    env_float("SPARKWEB_ELECTRICITY_PRICE", 0.0, "Price of a kilowatt-hour; 0: none.", low=0, high=100)
    or None
)
FABRIC_PORT = env_int(
    "SPARKWEB_FABRIC_PORT",
    5201,
    "Port of iperf3 in tests of the fabric; a second rail takes the next.",
    low=1024,
    high=65534,
)
FABRIC_SECONDS = env_int(
    "SPARKWEB_FABRIC_SECONDS", 10, "Seconds of each measurement of the fabric.", low=1, high=60
)
FABRIC_STREAMS = env_int(
    "SPARKWEB_FABRIC_STREAMS", 4, "Streams of each measurement of the fabric.", low=1, high=32
)
FABRIC_DAILY_HOUR = env_int(
    "SPARKWEB_FABRIC_DAILY_HOUR",
    -1,
    "Hour of the day (0 to 23, in SPARKWEB_TIME_ZONE) in which every link is tested; -1: never.",
    low=-1,
    high=23,
)
SANDBOX_SESSION_HOURS = env_int(
    "SPARKWEB_SANDBOX_SESSION_HOURS", 72, "Hours that a tool session lasts, unless extended.", low=1, high=720
)
SANDBOX_SESSION_IDLE_HOURS = env_int(
    "SPARKWEB_SANDBOX_SESSION_IDLE_HOURS",
    24,
    "Hours without any use after which a tool session ends; 0: only when its time is over.",
    low=0,
    high=720,
)
SANDBOX_SESSION_MB = env_int(
    "SPARKWEB_SANDBOX_SESSION_MB",
    256,
    "Size (MiB) of a tool session's workspace where nobody asks for another.",
    low=32,
    high=1_048_576,
)
SANDBOX_SESSION_MB_MOST = env_int(
    "SPARKWEB_SANDBOX_SESSION_MB_MOST",
    4096,
    "Largest workspace (MiB) that may be asked for.",
    low=32,
    high=1_048_576,
)
SANDBOX_SESSIONS = env_int(
    "SPARKWEB_SANDBOX_SESSIONS", 8, "Tool sessions that one user may have at once.", low=1, high=1000
)
TRANSCRIPT_UPLOAD_MB = env_int(
    "SPARKWEB_TRANSCRIPT_UPLOAD_MB",
    2048,
    "Largest file (MiB) of transcripts that may be uploaded.",
    low=1,
    high=1_048_576,
)
TRANSCRIPT_SPOOL_MB = env_int(
    "SPARKWEB_TRANSCRIPT_SPOOL_MB",
    4096,
    "Disk space (MiB) for transcripts of other nodes that wait to be read.",
    low=16,
    high=1_048_576,
)
TRANSCRIPT_UNPACKED_MB = env_int(
    "SPARKWEB_TRANSCRIPT_UNPACKED_MB",
    10_240,
    "How large (MiB) an uploaded archive of transcripts may become when it is unpacked.",
    low=1,
    high=10_485_760,
)
CURRENCY = env_str("SPARKWEB_CURRENCY", "€", "Currency of the price.")
HISTORY_TIERS = tiers_make(
    raw=HOUR * env_int("SPARKWEB_HISTORY_SECONDS_HOURS", 1, "Hours of history in seconds.", low=1, high=48),
    ten=HOUR
    * env_int("SPARKWEB_HISTORY_TEN_SECONDS_HOURS", 24, "Hours of history in 10 s.", low=1, high=336),
    minute=DAY * env_int("SPARKWEB_HISTORY_MINUTES_DAYS", 30, "Days of history in minutes.", low=1, high=366),
    quarter=DAY
    * env_int("SPARKWEB_HISTORY_QUARTERS_DAYS", 730, "Days of history in 15 min.", low=7, high=3650),
)

# Logging and admin -------------------------------------------------------------

LOGGING_CONFIG = None  # sparkweb.logs sets it up, the same in every process

if "*" in ALLOWED_HOSTS:
    raise EnvironmentInvalid(
        "SPARKWEB_ALLOWED_HOSTS='*': name the hosts instead; a wildcard lets any web page reach this server"
    )
