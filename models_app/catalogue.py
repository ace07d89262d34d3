"""models.yaml: what can run, read and written without loss.

Pure: bytes in, dataclasses out, and back. The dataclasses carry the field
names of ModelDefinition and CatalogueDefaults. `key_order` remembers in which
order keys stood and which were written out, since JSON columns of PostgreSQL
do not; comments are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from models_app.catalogue_check import (
    ENTRY_DEFAULTS,
    TOP_KEYS,
    check_document,
    json_pointer,
)
from models_app.engines.settings_schema import as_boolean
from sparkweb.yaml_file import Problem, yaml_dump, yaml_load
from sparkweb.yaml_file import YamlRefused as CatalogueError

__all__ = ["Catalogue", "CatalogueEntry", "CatalogueError", "Problem", "catalogue_dump", "catalogue_parse"]

SCHEMA_VERSION = "1.0"


@dataclass
class CatalogueEntry:
    """One model. `settings` holds only the model's own; `extra` the keys that SparkWeb does not know."""

    slug: str
    name: str
    engine: str
    model_id: str
    port: int
    description: str = ""
    image: str = ""
    container_name: str = ""
    script_dir: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    estimated_memory_gb: Decimal | None = None
    publish: str = "local"
    node_count: int = 1
    enabled: bool = True
    priority: int = 0
    pinned: bool = False
    idle_minutes: int | None = None
    start_on_boot: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    position: int = 0
    key_order: list[str] = field(default_factory=list)


@dataclass
class Catalogue:
    """A whole models.yaml; entries in the order of the file."""

    entries: list[CatalogueEntry] = field(default_factory=list)
    schema_version: str = SCHEMA_VERSION
    defaults: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    key_order: list[str] = field(default_factory=list)


def catalogue_parse(text: bytes, filename: str) -> Catalogue:
    """Read a models.yaml.

    Raises CatalogueError with every problem found, each with file, line, key and
    what was expected.
    """
    document = yaml_load(text, filename)
    check_document(document)
    if document.problems:
        raise CatalogueError(sorted(document.problems, key=lambda problem: problem.line))
    data: dict[str, Any] = document.data
    top = {key: value for key, value in data.items() if key != "models"}
    return Catalogue(
        entries=[_entry(slug, raw, place) for place, (slug, raw) in enumerate(data["models"].items())],
        schema_version=str(data.get("schema_version") or SCHEMA_VERSION),
        defaults=data.get("defaults") or {},
        extra=_unknown(top, TOP_KEYS),
        key_order=[path for path in key_paths(data) if not path.startswith("/models/")],
    )


def catalogue_dump(catalogue: Catalogue) -> bytes:
    """Write a models.yaml in UTF-8: what `catalogue_parse` read, the same data in the same order."""
    data: dict[str, Any] = {}
    if _wanted(catalogue.key_order, "schema_version"):
        data["schema_version"] = catalogue.schema_version
    if catalogue.defaults or "/defaults" in catalogue.key_order:
        data["defaults"] = catalogue.defaults
    data["models"] = {entry.slug: _entry_data(entry) for entry in catalogue.entries}
    data.update(catalogue.extra)
    return yaml_dump(in_order(data, catalogue.key_order))


def key_paths(value: Any, prefix: str = "") -> list[str]:
    """Every key below `value`, in order, as JSON pointers (`/settings/max_model_len`)."""
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        return [path for place, child in enumerate(value) for path in key_paths(child, f"{prefix}/{place}")]
    else:
        return []
    paths: list[str] = []
    for key, child in children:
        path = json_pointer(prefix, key)
        paths += [path, *key_paths(child, path)]
    return paths


def in_order(value: Any, key_order: list[str]) -> Any:
    """The same data with keys in the order of `key_order`; keys that it lacks come last, as they are."""
    return _sorted(value, {path: rank for rank, path in enumerate(key_order)}, "")


def _sorted(value: Any, rank: Mapping[str, int], prefix: str) -> Any:
    if isinstance(value, list):
        return [_sorted(child, rank, f"{prefix}/{place}") for place, child in enumerate(value)]
    if not isinstance(value, dict):
        return value
    keys = sorted(value, key=lambda key: rank.get(json_pointer(prefix, key), len(rank)))
    return {key: _sorted(value[key], rank, json_pointer(prefix, key)) for key in keys}


def _unknown(raw: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """What no field holds as it was written: unknown keys, known ones left empty, a version as a number."""
    numbered = {key for key in ("schema_version",) if isinstance(raw.get(key), int | float)}
    return {key: value for key, value in raw.items() if key not in known or value is None or key in numbered}


def _entry(slug: str, raw: dict[str, Any], position: int) -> CatalogueEntry:
    present = {key: value for key, value in raw.items() if value is not None}
    memory = present.get("estimated_memory_gb")
    return CatalogueEntry(
        slug=slug,
        name=present.get("name", slug),
        engine=present["engine"],
        model_id=present["model_id"],
        port=present["port"],
        description=present.get("description", ""),
        image=present.get("image", ""),
        container_name=present.get("container_name", ""),
        script_dir=present.get("script_dir", ""),
        settings=present.get("settings", {}),
        estimated_memory_gb=None if memory is None else Decimal(str(memory)),
        publish=present.get("publish", "local"),
        node_count=present.get("node_count", 1),
        enabled=as_boolean(present.get("enabled", True)) is not False,
        priority=present.get("priority", 0),
        pinned=as_boolean(present.get("pinned", False)) is True,
        idle_minutes=present.get("idle_minutes"),
        start_on_boot=as_boolean(present.get("start_on_boot", False)) is True,
        extra=_unknown(raw, frozenset(ENTRY_DEFAULTS)),
        position=position,
        key_order=key_paths(raw),
    )


def _entry_data(entry: CatalogueEntry) -> dict[str, Any]:
    """The mapping below a model's key: what was written before, and what is no longer the default."""
    data: dict[str, Any] = {}
    for key, default in ENTRY_DEFAULTS.items():
        value: Any = getattr(entry, key)
        if isinstance(value, Decimal):
            value = int(value) if value == value.to_integral_value() else float(value)
        unset = value == (entry.slug if key == "name" else default)
        written = f"/{key}" in entry.key_order and key not in entry.extra
        if not unset or written or (key == "name" and not entry.key_order):
            data[key] = value
    ordered: dict[str, Any] = in_order({**entry.extra, **data}, entry.key_order)
    return ordered


def _wanted(key_order: list[str], key: str) -> bool:
    return not key_order or f"/{key}" in key_order
