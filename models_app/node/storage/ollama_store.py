"""Ollama's folder on disk: which models it holds, and deleting from it.

    models/manifests/<host>/<namespace>/<name>/<tag>   JSON: a config and layers by digest
    models/blobs/sha256-<hex>                          contents, shared between models
    models/blobs/sha256-<hex>-partial…                 partly here

Source: Ollama, server/manifest.go and server/modelpath.go.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models_app.node.storage.budget import Budget, ScanStopped
from models_app.node.storage.hf_cache import NotDeletable, NotListed

HOST, NAMESPACE = "registry.ollama.ai", "library"
PARTIAL_KEY = "ollama:@partial"
MANIFEST_LIMIT_BYTES = 1_000_000
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass
class OllamaScan:
    """What was found: entries for the listing, bytes of all, and why it is a part, if it is."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    total_bytes: int = 0
    stopped: str = ""


def ollama_scan(folder: Path, budget: Budget) -> OllamaScan:
    """Look through an Ollama folder. Raises OSError when it cannot be read; missing is empty."""
    scan = OllamaScan()
    try:
        blobs = _blobs(folder, budget)
        scan.total_bytes = sum(stat.st_size for stat in blobs.values())
        for path in _manifests(folder, budget):
            scan.entries.append(_entry(folder, path, blobs))
        partial = [stat for name, stat in blobs.items() if "-partial" in name]
        if partial:
            scan.entries.append(_partial_entry(partial))
    except ScanStopped as reason:
        scan.stopped = str(reason)
    return scan


def _blobs(folder: Path, budget: Budget) -> dict[str, os.stat_result]:
    found = {}
    try:
        for entry in os.scandir(folder / "models" / "blobs"):
            budget.spend()
            found[entry.name] = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        pass
    return found


def _manifests(folder: Path, budget: Budget) -> list[Path]:
    """The manifest files, four levels deep; os.walk follows no links to folders."""
    top = folder / "models" / "manifests"
    found = []
    for place, _, names in os.walk(top):
        for name in names:
            budget.spend()
            path = Path(place) / name
            if len(path.relative_to(top).parts) == 4 and not path.is_symlink():
                found.append(path)
    return sorted(found)


def _name(folder: Path, manifest: Path) -> str:
    host, namespace, name, tag = manifest.relative_to(folder / "models" / "manifests").parts
    owner = "" if (host, namespace) == (HOST, NAMESPACE) else f"{namespace}/"
    return f"{'' if host == HOST else host + '/'}{owner}{name}:{tag}"


def _layers(manifest: Path) -> dict[str, int]:
    """File name and size in bytes of what a manifest needs; empty if it cannot be read."""
    try:
        if manifest.stat().st_size > MANIFEST_LIMIT_BYTES:
            return {}
        data = json.loads(manifest.read_bytes())
        rows = [data["config"], *data["layers"]]
        digests = [(_DIGEST.fullmatch(str(row["digest"])), int(row["size"])) for row in rows]
    except (ValueError, KeyError, TypeError, PermissionError):
        return {}
    return {f"sha256-{match[1]}": size for match, size in digests if match}


def _entry(folder: Path, manifest: Path, blobs: dict[str, os.stat_result]) -> dict[str, Any]:
    layers, name = _layers(manifest), _name(folder, manifest)
    here = [blobs[layer] for layer in layers if layer in blobs]
    missing = len(layers) - len(here)
    return {
        "key": f"ollama:{name}",
        "kind": "ollama",
        "name": name,
        "bytes": sum(stat.st_size for stat in here),
        "partial_bytes": 0,
        "used_at": max((stat.st_atime for stat in here), default=None),
        "incomplete": "" if layers and not missing else f"{missing or 'all'} of its layers are missing",
        "note": "",
        "revisions": [],
    }


def _partial_entry(partial: list[os.stat_result]) -> dict[str, Any]:
    size = sum(stat.st_size for stat in partial)
    return {
        "key": PARTIAL_KEY,
        "kind": "ollama",
        "name": "Downloads that were not finished",
        "bytes": size,
        "partial_bytes": size,
        "used_at": max(stat.st_mtime for stat in partial),
        "incomplete": "An unfinished pull goes on where it stopped, if it is asked for again",
        "note": "",
        "revisions": [],
    }


def ollama_delete(folder: Path, key: str) -> int:
    """Delete a model of the listing with the layers that no other model needs, or all partial files.

    Returns the bytes that were freed. Raises NotListed, NotDeletable, OSError.
    """
    store = folder / "models"
    for place in (store / "blobs", store / "manifests"):
        if place.is_symlink():
            raise NotDeletable(f"{place} is a link to {place.readlink()}: remove it by hand")
    budget = Budget()
    blobs = _blobs(folder, budget)
    if key == PARTIAL_KEY:
        return _unlink(store / "blobs", {name for name in blobs if "-partial" in name}, blobs)
    manifests = {f"ollama:{_name(folder, path)}": path for path in _manifests(folder, budget)}
    if key not in manifests:
        raise NotListed(f"{key} is not in {folder}")
    gone = set(_layers(manifests[key]))
    kept = {layer for other, path in manifests.items() if other != key for layer in _layers(path)}
    manifests[key].unlink()
    return _unlink(store / "blobs", (gone - kept) & blobs.keys(), blobs)


def _unlink(folder: Path, names: set[str], blobs: dict[str, os.stat_result]) -> int:
    for name in names:
        (folder / name).unlink(missing_ok=True)
    return sum(blobs[name].st_size for name in names)
