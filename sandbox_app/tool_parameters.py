"""The `parameters` of a TOOL.md: what a tool takes, checked key by key. Pure."""

from __future__ import annotations

import math
import re
from typing import Any

from sparkweb.yaml_file import Document, KeyPath, kind_name

TYPES = ("string", "integer", "number", "boolean", "array", "object")
# The keys of a parameter besides name, type, required and description, by type.
COMMON = ("name", "type", "description", "required", "default", "enum")
KEYS = {
    "string": ("min", "max"),
    "integer": ("min", "max"),
    "number": ("min", "max"),
    "boolean": (),
    "array": ("min", "max", "items"),
    "object": ("properties",),
}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
PARAMETERS_MOST = 64
ENUM_MOST = 200
DEPTH_MOST = 6
DESCRIPTION_MOST = 4000


def parameters_check(document: Document, path: KeyPath, raw: Any, depth: int = 0) -> list[dict[str, Any]]:
    """The parameters as they are kept, each with a type. Notes problems in the document."""
    if raw is None:
        return []
    if not isinstance(raw, list):
        document.complain(path, f"expected a list of parameters, found {kind_name(raw)}")
        return []
    if len(raw) > PARAMETERS_MOST:
        document.complain(path, f"more than {PARAMETERS_MOST} parameters")
        return []
    kept, names = [], set()
    for place, entry in enumerate(raw):
        at = (*path, str(place))
        parameter = _named(document, at, entry, depth)
        if parameter is None:
            continue
        if parameter["name"] in names:
            document.complain(at, f"the parameter {parameter['name']!r} stands here for the second time")
        names.add(parameter["name"])
        kept.append(parameter)
    return kept


def _named(document: Document, path: KeyPath, entry: Any, depth: int) -> dict[str, Any] | None:
    if not isinstance(entry, dict):
        document.complain(path, f"expected a mapping with name and type, found {kind_name(entry)}")
        return None
    name = entry.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        document.complain(
            (*path, "name"),
            f"expected letters, digits, - and _, at most 64, a letter first; found {kind_name(name)}",
        )
        return None
    return _value(document, path, entry, depth)


def _value(document: Document, path: KeyPath, entry: dict[str, Any], depth: int) -> dict[str, Any] | None:
    """One parameter, or the `items` of one. None where its type is none."""
    kind = entry.get("type")
    if kind not in TYPES:
        document.complain((*path, "type"), f"expected one of {', '.join(TYPES)}, found {kind_name(kind)}")
        return None
    for key in entry:
        if key not in COMMON + KEYS[kind]:
            allowed = ", ".join(COMMON + KEYS[kind])
            document.complain(
                (*path, key), f"there is no such key; a parameter of type {kind} may have {allowed}"
            )
    _texts(document, path, entry)
    _bounds(document, path, entry, kind)
    kept = {
        key: value for key, value in entry.items() if key not in ("items", "properties") and value is not None
    }
    if depth >= DEPTH_MOST:
        document.complain(path, f"nested more than {DEPTH_MOST} levels deep")
        return kept
    if entry.get("items") is not None:
        kept["items"] = _items(document, (*path, "items"), entry["items"], depth + 1)
    if entry.get("properties") is not None:
        kept["properties"] = parameters_check(document, (*path, "properties"), entry["properties"], depth + 1)
    return kept


def _items(document: Document, path: KeyPath, raw: Any, depth: int) -> dict[str, Any] | None:
    if isinstance(raw, str):
        raw = {"type": raw}
    if not isinstance(raw, dict):
        document.complain(path, f"expected a type or a mapping with type, found {kind_name(raw)}")
        return None
    return _value(document, path, raw, depth)


def _texts(document: Document, path: KeyPath, entry: dict[str, Any]) -> None:
    description = entry.get("description")
    if description is not None and (not isinstance(description, str) or len(description) > DESCRIPTION_MOST):
        document.complain((*path, "description"), f"expected text of at most {DESCRIPTION_MOST} characters")
    required = entry.get("required")
    if required is not None and not isinstance(required, bool):
        document.complain((*path, "required"), f"expected true or false, found {kind_name(required)}")
    if required and entry.get("default") is not None:
        document.complain((*path, "default"), "a parameter that is required needs no default")
    enum = entry.get("enum")
    if enum is not None and not (isinstance(enum, list) and 0 < len(enum) <= ENUM_MOST):
        document.complain(
            (*path, "enum"), f"expected a list of 1 to {ENUM_MOST} values, found {kind_name(enum)}"
        )


def _bounds(document: Document, path: KeyPath, entry: dict[str, Any], kind: str) -> None:
    counts = kind in ("string", "array")
    for key in ("min", "max"):
        value = entry.get(key)
        if value is None or key not in KEYS[kind]:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or (counts and (not isinstance(value, int) or value < 0)):
            expected = "a whole number from 0" if counts else "a number"
            document.complain((*path, key), f"expected {expected}, found {kind_name(value)}")
            return
    low, high = entry.get("min"), entry.get("max")
    if low is not None and high is not None and low > high:
        document.complain((*path, "min"), f"{low} is more than max, {high}")
