"""What an engine's settings may look like: one table row per setting, and the check of a value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "integer", "number", "boolean", "text", "path", "duration", "size", "json", "environment", "vector"
]
Version = tuple[int, int]

SIZE_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
YES = {"true", "yes", "on"}
NO = {"false", "no", "off"}
# Longer values are no settings; Linux refuses an argument of 128 KiB.
TEXT_LIMIT = 8192
JSON_LIMIT = 32768
ENVIRONMENT_LIMIT = 200
VECTOR_LIMIT = 200
SECRET_NAMES = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "VLLM_API_KEY", "NGC_API_KEY"}


class SettingsInvalid(ValueError):
    """Settings that no container can be made from; each problem names setting, value and what is expected."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


@dataclass(frozen=True)
class Setting:
    """One setting of an engine.

    `flag` is the engine's option, `variable` the environment variable that
    carries it instead; neither: it shapes the container. `off_flag` is passed
    for False where the engine's own default may be on. `since` is the first
    version that knows the flag, `until` the first that refuses it; None: all
    that matter.
    """

    name: str
    kind: Kind
    help: str
    flag: str | None = None
    off_flag: str | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    since: Version | None = None
    until: Version | None = None
    variable: str | None = None


def settings_table(*rows: Setting) -> dict[str, Setting]:
    """The rows by name, in their order."""
    return {row.name: row for row in rows}


def as_boolean(value: object) -> bool | None:
    """True or False, also spelled as YAML 1.1 did (yes, no, on, off); None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in YES | NO:
        return value.lower() in YES
    return None


def size_bytes(value: object) -> int | None:
    """Bytes in a size as Docker writes it (`1g`, `512m`, 67108864); None if it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value > 0 else None
    match = (
        re.fullmatch(r"(\d{1,15})\s*([bkmgt]?)(?:i?b)?", value.strip().lower())
        if isinstance(value, str)
        else None
    )
    return int(match[1]) * SIZE_UNITS[match[2]] or None if match else None


def setting_problem(setting: Setting, value: object) -> str | None:
    """What is wrong with a value, as `expected …, found …`; None if nothing. None as value means unset."""
    if value is None:
        return None
    expected = CHECKS[setting.kind](setting, value)
    if expected is None or setting.kind in ("environment", "vector"):
        # An environment or an argument may hold what nobody should read in a message.
        return expected and f"expected {expected}"
    return f"expected {expected}, found {_shown(value)}"


def settings_problems(table: Mapping[str, Setting], settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each known setting whose value cannot be used, with the reason. Unknown settings pass."""
    checked = (
        (name, setting_problem(table[name], value)) for name, value in settings.items() if name in table
    )
    return [(name, problem) for name, problem in checked if problem]


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def _range(setting: Setting) -> str:
    if setting.low is not None and setting.high is not None:
        return f" from {setting.low:g} to {setting.high:g}"
    return f" of at least {setting.low:g}" if setting.low is not None else ""


def _outside(setting: Setting, value: float) -> bool:
    too_low = setting.low is not None and value < setting.low
    return too_low or (setting.high is not None and value > setting.high)


def _check_integer(setting: Setting, value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and not _outside(setting, value):
        return None
    return f"a whole number{_range(setting)}"


def _check_number(setting: Setting, value: object) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and not _outside(setting, value):
        return None
    return f"a number{_range(setting)}"


def _check_boolean(_setting: Setting, value: object) -> str | None:
    return "true or false" if as_boolean(value) is None else None


def _check_text(setting: Setting, value: object) -> str | None:
    if setting.choices:
        return None if value in setting.choices else "one of " + ", ".join(setting.choices)
    if not isinstance(value, str) or not value or value.startswith("-") or _has_control(value):
        return "text on one line that does not begin with a hyphen"
    return None if len(value) <= TEXT_LIMIT else f"at most {TEXT_LIMIT} characters"


def _check_path(_setting: Setting, value: object) -> str | None:
    fits = isinstance(value, str) and re.fullmatch(r"/[!-~]{0,199}", value)
    return None if fits else "a path that begins with / and has no spaces"


def _check_duration(_setting: Setting, value: object) -> str | None:
    seconds = isinstance(value, int | float) and not isinstance(value, bool)
    text = isinstance(value, str) and re.fullmatch(r"-?\d{1,9}(\.\d+)?|-?(\d{1,9}(\.\d+)?(h|ms|m|s))+", value)
    return None if seconds or text else "seconds, or a time such as 5m or 24h; -1 is without end"


def _check_json(_setting: Setting, value: object) -> str | None:
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict | list):
        return "a mapping, or JSON in quotes"
    length = len(value if isinstance(value, str) else json.dumps(value, default=str))
    return None if length <= JSON_LIMIT else f"at most {JSON_LIMIT} characters of JSON"


def _check_size(_setting: Setting, value: object) -> str | None:
    return None if size_bytes(value) else "a size such as 1g or 512m"


def _check_environment(_setting: Setting, value: object) -> str | None:
    if not isinstance(value, dict) or len(value) > ENVIRONMENT_LIMIT:
        return f"a mapping of variable names to values, at most {ENVIRONMENT_LIMIT} of them"
    for name, content in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", str(name)):
            return f"names of letters, digits and underscores (not {str(name)[:60]!r})"
        if name.upper() in SECRET_NAMES:
            return f"no secrets ({name}: put it in a file in the node's secrets folder)"
        if not isinstance(content, str | int | float) or _has_control(str(content)):
            return f"text on one line or a number as value of {name}"
        if len(str(content)) > TEXT_LIMIT:
            return f"at most {TEXT_LIMIT} characters as value of {name}"
    return None


def _check_vector(_setting: Setting, value: object) -> str | None:
    if not isinstance(value, list) or not all(isinstance(word, str) and "\0" not in word for word in value):
        return 'a list of texts, one for each argument, such as ["serve", "--port", "8000"]'
    if len(value) > VECTOR_LIMIT or any(len(word) > TEXT_LIMIT for word in value):
        return f"at most {VECTOR_LIMIT} arguments of at most {TEXT_LIMIT} characters"
    return None


def _has_control(text: str) -> bool:
    return any(ord(character) < 32 or ord(character) == 127 for character in text)


CHECKS: dict[Kind, Callable[[Setting, object], str | None]] = {
    "integer": _check_integer,
    "number": _check_number,
    "boolean": _check_boolean,
    "text": _check_text,
    "path": _check_path,
    "duration": _check_duration,
    "json": _check_json,
    "size": _check_size,
    "environment": _check_environment,
    "vector": _check_vector,
}
