"""What differs between two pictures of a definition, field by field. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHOWN_LIMIT = 400
_MISSING = object()
# Mappings whose keys are told one by one.
_SPREAD = ("settings", "extra")


@dataclass(frozen=True)
class FieldChange:
    """One field or setting; None where it is not set. Values as text, long ones cut."""

    name: str
    before: str | None
    after: str | None


def field_changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[FieldChange]:
    """What differs, in the order of the fields; against None what is set at all."""
    old, new = _flat(before or {}), _flat(after or {})
    names = [*new, *(name for name in old if name not in new)]
    return [
        FieldChange(name, _text(old.get(name, _MISSING)), _text(new.get(name, _MISSING)))
        for name in names
        if old.get(name, _MISSING) != new.get(name, _MISSING)
    ]


def _flat(picture: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that say something, settings by their own names (`settings.max_model_len`)."""
    flat: dict[str, Any] = {}
    for name, value in picture.items():
        if name in _SPREAD and isinstance(value, Mapping):
            flat |= {f"{name}.{key}": held for key, held in value.items()}
        elif value not in ("", None):
            flat[name] = value
    return flat


def _text(value: object) -> str | None:
    if value is _MISSING:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_LIMIT else f"{text[: SHOWN_LIMIT - 1]}…"
