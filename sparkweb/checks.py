"""Start-up checks: what would go wrong later, said now, with what to do about it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from sparkweb import config
from sparkweb.env import EnvironmentInvalid

SECRET_KEY_LENGTH = 32


def register_all() -> None:
    checks = (
        data_folder,
        secret_key,
        debug_in_public,
        clear_text_in_public,
        proxies,
        metrics_allow,
        compat_ports,
        egress_lists,
    )
    for check in checks:
        register(check)


def web_checks() -> list[CheckMessage]:
    """Return what `manage.py web` checks besides: things that other commands make first."""
    return [message for check in (static_files, icons, redis_answers) for message in check()]


def is_loopback(host: str) -> bool:
    """Say whether an address of SPARKWEB_HOST can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def data_folder(**_: Any) -> Sequence[CheckMessage]:
    folder = settings.DATA_DIR
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return []
    hint = "Make it writable for this user, or set SPARKWEB_DATA_DIR to another folder."
    return [Error(f"The data folder {folder} cannot be written.", hint=hint, id="sparkweb.E001")]


def secret_key(**_: Any) -> Sequence[CheckMessage]:
    if len(settings.SECRET_KEY) >= SECRET_KEY_LENGTH:
        return []
    hint = "Unset it: SparkWeb then makes one in the data folder. Sessions end when it changes."
    message = (
        f"SPARKWEB_SECRET_KEY has {len(settings.SECRET_KEY)} characters; {SECRET_KEY_LENGTH} are needed."
    )
    return [Error(message, hint=hint, id="sparkweb.E002")]


def debug_in_public(**_: Any) -> Sequence[CheckMessage]:
    if not settings.DEBUG or is_loopback(config.HOST):
        return []
    message = (
        f"SPARKWEB_DEBUG is on while SPARKWEB_HOST={config.HOST} lets others in: errors would show secrets."
    )
    return [Error(message, hint="Unset SPARKWEB_DEBUG.", id="sparkweb.E003")]


def clear_text_in_public(**_: Any) -> Sequence[CheckMessage]:
    if is_loopback(config.HOST) or settings.HTTPS:
        return []
    hint = "Put a reverse proxy with HTTPS before it; set SPARKWEB_HTTPS=1 and SPARKWEB_TRUSTED_PROXIES."
    message = (
        f"SPARKWEB_HOST={config.HOST} lets others in without HTTPS: passwords cross the network in clear."
    )
    return [Warning(message, hint=hint, id="sparkweb.W001")]


def proxies(**_: Any) -> Sequence[CheckMessage]:
    from sparkweb.accounts.middleware import trusted_networks

    try:
        trusted_networks()
    except EnvironmentInvalid as error:
        hint = "Write addresses or networks, like 10.0.0.2,192.168.1.0/24."
        return [Error(str(error), hint=hint, id="sparkweb.E004")]
    return []


def metrics_allow(**_: Any) -> Sequence[CheckMessage]:
    from metrics_app.views_prometheus import allowed_networks

    try:
        allowed_networks()
    except EnvironmentInvalid as error:
        hint = "Write addresses or networks, like 10.0.0.2,192.168.1.0/24."
        return [Error(str(error), hint=hint, id="sparkweb.E007")]
    return []


def egress_lists(**_: Any) -> Sequence[CheckMessage]:
    from sparkweb.adapters.egress_configured import egress_policy

    try:
        egress_policy()
    except EnvironmentInvalid as error:
        return [Error(str(error), hint="docs/web-search.md shows each of them.", id="sparkweb.E008")]
    return []


def compat_ports(**_: Any) -> Sequence[CheckMessage]:
    wrong = [word for word in settings.COMPAT_PORTS if not (word.isdigit() and 1 <= int(word) <= 65535)]
    if not wrong:
        return []
    message = f"SPARKWEB_COMPAT_PORTS: {wrong[0]!r} is no port."
    return [Error(message, hint="Write numbers from 1 to 65535, like 5174,5175,5176.", id="sparkweb.E005")]


def static_files(**_: Any) -> Sequence[CheckMessage]:
    if settings.DEBUG or (settings.STATIC_ROOT / "staticfiles.json").exists():
        return []
    hint = "Run `manage.py collectstatic --noinput`; ./script/server does."
    return [
        Error(f"Static files are not collected in {settings.STATIC_ROOT}.", hint=hint, id="sparkweb.E006")
    ]


def icons(**_: Any) -> Sequence[CheckMessage]:
    if settings.ICONS_DIR.is_dir():
        return []
    message = f"There are no icons in {settings.ICONS_DIR}: pages show none."
    return [Warning(message, hint="Run `npm ci`; ./script/server does.", id="sparkweb.W002")]


def redis_answers(**_: Any) -> Sequence[CheckMessage]:
    from sparkweb.shared_streams import shared_streams
    from sparkweb.streams import StreamsDown

    try:
        shared_streams().fetch(["check"])
    except StreamsDown as error:
        hint = "Pages work without figures until it is back; `manage.py up` runs a private Redis."
        return [Warning(str(error), hint=hint, id="sparkweb.W003")]
    return []
