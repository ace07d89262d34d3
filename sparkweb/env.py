"""Typed readers of environment variables that refuse odd values.

Each reader remembers what it was asked for, so that docs/settings.md and
.env.example can be held against the truth by a test. No Django here: the
supervisor and the agent read their settings with it too.
"""

from __future__ import annotations

import os
import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class EnvironmentInvalid(ValueError):
    """A variable has a value that cannot be used; the sentence names both."""


@dataclass(frozen=True)
class Variable:
    """One environment variable that SparkWeb reads."""

    name: str
    kind: str
    default: str
    help: str


KNOWN: dict[str, Variable] = {}

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


def _read(name: str, kind: str, default: T, help_text: str, convert: Callable[[str], T], shown: str) -> T:
    KNOWN[name] = Variable(name, kind, shown, help_text)
    raw = os.environ.get(name)
    if raw is None or (raw == "" and kind != "boolean"):
        return default
    try:
        return convert(raw)
    except ValueError as error:
        raise EnvironmentInvalid(f"{name}={raw!r}: {error}") from None


def env_str(
    name: str, default: str, help_text: str, *, secret: bool = False, shown: str | None = None
) -> str:
    """Read text. A secret's value never stands in an error or in the documents.

    `shown` stands in the documents for a default that differs between machines; so it does below.
    """
    return _read(
        name, "secret" if secret else "text", default, help_text, str, default if shown is None else shown
    )


def env_time_zone(name: str, default: str, help_text: str) -> str:
    """Read the name of a time zone, like Europe/Berlin."""

    def convert(raw: str) -> str:
        try:
            zoneinfo.ZoneInfo(raw)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("is no time zone; write one like Europe/Berlin or UTC") from None
        return raw

    return _read(name, "time zone", default, help_text, convert, default)


def env_rate(name: str, default: str, help_text: str) -> str:
    """Read a number of calls per second, minute, hour or day, like 1200/min."""

    def convert(raw: str) -> str:
        if not re.fullmatch(r"[1-9]\d{0,8}/(s|sec|m|min|h|hour|d|day)", raw):
            raise ValueError("is no rate; write one like 1200/min or 20/sec")
        return raw

    return _read(name, "rate", default, help_text, convert, default)


def env_int(name: str, default: int, help_text: str, *, low: int, high: int) -> int:
    """Read a whole number between `low` and `high`, both allowed."""

    def convert(raw: str) -> int:
        try:
            value = int(raw)
        except ValueError:
            raise ValueError("is not a whole number") from None
        if not low <= value <= high:
            raise ValueError(f"must lie between {low} and {high}")
        return value

    return _read(name, f"number, {low} to {high}", default, help_text, convert, str(default))


def env_float(name: str, default: float, help_text: str, *, low: float, high: float) -> float:
    """Read a number between `low` and `high`, both allowed."""

    def convert(raw: str) -> float:
        try:
            value = float(raw)
        except ValueError:
            raise ValueError("is not a number") from None
        if not low <= value <= high:
            raise ValueError(f"must lie between {low:g} and {high:g}")
        return value

    return _read(name, f"number, {low:g} to {high:g}", default, help_text, convert, f"{default:g}")


def env_bool(name: str, default: bool, help_text: str) -> bool:
    """Read yes or no: 1, true, yes, on; 0, false, no, off."""

    def convert(raw: str) -> bool:
        if raw.lower() in TRUE:
            return True
        if raw.lower() in FALSE:
            return False
        raise ValueError("is neither yes nor no; write 1 or 0")

    return _read(name, "boolean", default, help_text, convert, "1" if default else "0")


def env_choice(name: str, default: str, help_text: str, choices: tuple[str, ...]) -> str:
    """Read one word of `choices`."""

    def convert(raw: str) -> str:
        if raw not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return raw

    return _read(name, " or ".join(choices), default, help_text, convert, default)


def env_list(name: str, default: list[str], help_text: str) -> list[str]:
    """Read words separated by commas; spaces around them do not count."""

    def convert(raw: str) -> list[str]:
        return [word.strip() for word in raw.split(",") if word.strip()]

    return _read(name, "list, separated by commas", default, help_text, convert, ",".join(default))


def env_pattern(name: str, default: str, help_text: str) -> str:
    """Read a regular expression (Python's)."""

    def convert(raw: str) -> str:
        try:
            re.compile(raw)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return raw

    return _read(name, "regular expression", default, help_text, convert, default)


def env_path(name: str, default: Path, help_text: str, *, shown: str | None = None) -> Path:
    """Read an absolute path; `~` is the user's home."""

    def convert(raw: str) -> Path:
        path = Path(raw).expanduser()
        if not path.is_absolute():
            raise ValueError("must be an absolute path")
        return path

    return _read(name, "path", default, help_text, convert, shown or str(default))


def env_optional_path(name: str, help_text: str) -> Path | None:
    """Read an absolute path; `~` is the user's home. None when it is unset or empty."""

    def convert(raw: str) -> Path | None:
        path = Path(raw).expanduser()
        if not path.is_absolute():
            raise ValueError("must be an absolute path")
        return path

    return _read(name, "path", None, help_text, convert, "")


def env_url(
    name: str,
    default: str,
    help_text: str,
    schemes: tuple[str, ...],
    *,
    secret: bool = False,
    shown: str | None = None,
) -> str:
    """Read an address that begins with one of `schemes`."""

    def convert(raw: str) -> str:
        scheme = raw.split(":", 1)[0]
        if scheme not in schemes or ":" not in raw:
            raise ValueError(f"must begin with one of {', '.join(s + ':' for s in schemes)}")
        return raw

    try:
        return _read(name, "address", default, help_text, convert, default if shown is None else shown)
    except EnvironmentInvalid:
        if secret:
            wanted = ", ".join(s + ":" for s in schemes)
            raise EnvironmentInvalid(f"{name}: must begin with one of {wanted}") from None
        raise
