"""What a schema says against an argument, as a sentence for people and models. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from jsonschema.exceptions import ValidationError

SHOWN_MOST = 60
KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}


def problem_sentence(error: ValidationError, whole: str = "Arguments") -> str:
    """One sentence that names the argument, what it must be, and what came.

    `whole` names the value itself, where it is not a part of it that is wrong.
    """
    where = _path(error) or whole
    words = WORDS.get(str(error.validator))
    return words(where, error) if words else f"{where}: {error.message[:200]}."


def shown(value: Any) -> str:
    """A value as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_MOST else text[:SHOWN_MOST] + "…"


def _path(error: ValidationError) -> str:
    path = ""
    for part in error.absolute_path:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _type(where: str, error: ValidationError) -> str:
    kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    wanted = " or ".join(KINDS.get(kind, str(kind)) for kind in kinds)
    return f"{where} must be {wanted}, not {shown(error.instance)}."


def _missing(_where: str, error: ValidationError) -> str:
    # jsonschema makes one error for each missing name, and puts the name into its message alone.
    name = error.message.split("'")[1] if "'" in error.message else "?"
    schema = error.schema["properties"].get(name, {}) if isinstance(error.schema, dict) else {}
    wanted = KINDS.get(str(schema.get("type")), "a value")
    path = _path(error)
    return f"{path + '.' if path else ''}{name} is missing; it must be {wanted}."


def _surplus(_where: str, error: ValidationError) -> str:
    known = list(error.schema["properties"]) if isinstance(error.schema, dict) else []
    surplus = [name for name in error.instance if name not in known]
    names = ", ".join(shown(name) for name in surplus[:5]) + (" and more" if len(surplus) > 5 else "")
    takes = ", ".join(known) if known else "no arguments"
    verb = "is no argument" if len(surplus) == 1 else "are no arguments"
    return f"{names} {verb} of {_path(error) or 'this tool'}; it takes {takes}."


def _enum(where: str, error: ValidationError) -> str:
    values = error.validator_value
    words = ", ".join(str(value) if isinstance(value, str) else shown(value) for value in values)
    return f"{where} must be one of {words}, not {shown(error.instance)}."


def _bound(words: str) -> Callable[[str, ValidationError], str]:
    return lambda where, error: (
        f"{where} must be {words} {error.validator_value}, not {shown(error.instance)}."
    )


def _length(words: str, unit: str) -> Callable[[str, ValidationError], str]:
    return lambda where, error: (
        f"{where} must have {words} {error.validator_value} {unit}, not {len(error.instance)}."
    )


WORDS: dict[str, Callable[[str, ValidationError], str]] = {
    "type": _type,
    "required": _missing,
    "additionalProperties": _surplus,
    "enum": _enum,
    "minimum": _bound("at least"),
    "maximum": _bound("at most"),
    "minLength": _length("at least", "characters"),
    "maxLength": _length("at most", "characters"),
    "minItems": _length("at least", "entries"),
    "maxItems": _length("at most", "entries"),
}
