"""What a models.yaml must look like: every rule of the format, and its sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from models_app.engines.images import image_problem
from models_app.engines.registry import ENGINES, NODES_MOST, engine_kind
from models_app.engines.script import script_dir_problem
from models_app.engines.settings_schema import as_boolean, settings_problems
from sparkweb.yaml_file import Document, KeyPath, kind_name

PUBLISH = ("local", "fabric", "lan")

TOP_KEYS = frozenset({"schema_version", "defaults", "models"})
# Each key of a model and the value that it has when it is left out.
ENTRY_DEFAULTS: dict[str, Any] = {
    "name": "",
    "description": "",
    "engine": None,
    "port": None,
    "container_name": "",
    "script_dir": "",
    "model_id": None,
    "image": "",
    "estimated_memory_gb": None,
    "publish": "local",
    "node_count": 1,
    "enabled": True,
    "priority": 0,
    "pinned": False,
    "idle_minutes": None,
    "start_on_boot": False,
    "settings": {},
}
REQUIRED = ("engine", "port", "model_id")

SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
CONTAINER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}")
DESCRIPTION_MOST = 4000
MEMORY_LIMIT_GB = 99_999
PRIORITY_MOST = 1000
IDLE_MINUTES_MOST = 10_080

Rule = Callable[[Any], str | None]


def check_document(document: Document) -> None:
    """Note every breach of the format in `document.problems`."""
    data: dict[str, Any] = document.data
    _check_version(document, data)
    defaults: Any = {} if data.get("defaults") is None else data["defaults"]
    if _is_mapping(document, ("defaults",), defaults):
        for engine, settings in defaults.items():
            _check_settings(document, ("defaults", engine), engine, settings)
    models: Any = data.get("models")
    if "models" not in data:
        document.complain(("models",), "missing; expected a mapping with one key for each model")
    elif _is_mapping(document, ("models",), models):
        for slug, raw in models.items():
            _check_entry(document, slug, raw)
        _check_ports(document, models)


def json_pointer(prefix: str, key: str) -> str:
    """`prefix` and one key more, escaped as RFC 6901 says."""
    return f"{prefix}/{key.replace('~', '~0').replace('/', '~1')}"


def _is_mapping(document: Document, path: KeyPath, value: Any) -> bool:
    if isinstance(value, dict):
        return True
    document.complain(path, f"expected a mapping, found {kind_name(value)}")
    return False


def _check_version(document: Document, data: dict[str, Any]) -> None:
    version = data.get("schema_version")
    if version is None or (str(version).split(".")[0] == "1" and len(str(version)) <= 16):
        return
    document.complain(("schema_version",), f'expected "1.0", found {kind_name(version)}')


def _check_settings(document: Document, path: KeyPath, engine: str, settings: Any) -> None:
    if settings is None or (engine not in ENGINES and not isinstance(settings, dict)):
        return
    if _is_mapping(document, path, settings):
        for name, problem in settings_problems(engine_kind(engine).settings, settings):
            document.complain((*path, name), problem)


def _check_entry(document: Document, slug: str, raw: Any) -> None:
    path = ("models", slug)
    if not SLUG.fullmatch(slug):
        document.complain(
            path,
            "the name is used in addresses: expected lower-case letters, digits, dots and hyphens, "
            "a letter or digit first, at most 80",
        )
    if not _is_mapping(document, path, raw):
        return
    for key in REQUIRED:
        if raw.get(key) is None:
            document.complain((*path, key), f"missing; expected {EXPECTED[key]}")
    for key, rule in RULES.items():
        value = raw.get(key)
        if value is not None and (expected := rule(value)):
            document.complain((*path, key), f"expected {expected}, found {kind_name(value)}")
    if raw.get("engine") == "script" and (problem := script_dir_problem(raw.get("script_dir"))):
        document.complain((*path, "script_dir"), problem)
    _check_settings(document, (*path, "settings"), str(raw.get("engine")), raw.get("settings"))


def _check_ports(document: Document, models: dict[str, Any]) -> None:
    first: dict[int, str] = {}
    for slug, raw in models.items():
        port = raw.get("port") if isinstance(raw, dict) else None
        if not isinstance(port, int) or isinstance(port, bool) or _port(port):
            continue
        if port in first:
            line = document.lines[("models", first[port], "port")]
            document.complain(
                ("models", slug, "port"), f"{port} is used twice, first by {first[port]} on line {line}"
            )
        first.setdefault(port, slug)


def _line(limit: int) -> Rule:
    def rule(value: Any) -> str | None:
        fits = isinstance(value, str) and len(value) <= limit and value.isprintable()
        return None if fits else f"text on one line of at most {limit} characters"

    return rule


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return "text"
    return None if len(value) <= DESCRIPTION_MOST else f"at most {DESCRIPTION_MOST} characters"


def _image(value: Any) -> str | None:
    fits = value == "" or image_problem(value) is None
    return None if fits else "an image such as nvcr.io/nvidia/vllm:25.11-py3"


def _one_of(words: tuple[str, ...]) -> Rule:
    return lambda value: None if value in words else "one of " + ", ".join(words)


def _port(value: Any) -> str | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535
    return None if fits else "a whole number from 1 to 65535"


def _model_id(value: Any) -> str | None:
    fits = isinstance(value, str) and value and not value.startswith("-") and _line(300)(value) is None
    return (
        None
        if fits
        else "a Hugging Face id, an Ollama tag or a path, on one line, not beginning with a hyphen"
    )


def _matching(pattern: re.Pattern[str], what: str) -> Rule:
    def rule(value: Any) -> str | None:
        fits = isinstance(value, str) and (value == "" or pattern.fullmatch(value))
        return None if fits else what

    return rule


def _memory(value: Any) -> str | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and 0 <= value <= MEMORY_LIMIT_GB and round(value, 2) == value:
        return None
    return "a number of gigabytes, not negative, with at most two decimals"


def _priority(value: Any) -> str | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= PRIORITY_MOST
    return None if fits else f"a whole number from -{PRIORITY_MOST} to {PRIORITY_MOST}"


def _node_count(value: Any) -> str | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= NODES_MOST
    return None if fits else f"a whole number from 1 to {NODES_MOST}"


def _idle_minutes(value: Any) -> str | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= IDLE_MINUTES_MOST
    return None if fits else f"minutes, a whole number from 1 to {IDLE_MINUTES_MOST}"


def _boolean(value: Any) -> str | None:
    return "true or false" if as_boolean(value) is None else None


EXPECTED = {
    "engine": "one of " + ", ".join(ENGINES),
    "port": "the port on the node, a whole number from 1 to 65535",
    "model_id": "a Hugging Face id, an Ollama tag or a path",
}
RULES: dict[str, Rule] = {
    "name": lambda value: _line(120)(value) or (None if value else "a name"),
    "description": _text,
    "engine": _one_of(tuple(ENGINES)),
    "port": _port,
    "container_name": _matching(CONTAINER_NAME, "letters, digits, dots, hyphens and underscores"),
    "script_dir": _line(200),
    "model_id": _model_id,
    "image": _image,
    "estimated_memory_gb": _memory,
    "publish": _one_of(PUBLISH),
    "node_count": _node_count,
    "enabled": _boolean,
    "priority": _priority,
    "pinned": _boolean,
    "idle_minutes": _idle_minutes,
    "start_on_boot": _boolean,
}
