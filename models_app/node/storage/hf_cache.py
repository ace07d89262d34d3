"""The Hugging Face cache on disk: what it holds by repository and revision, and deleting from it.

    hub/models--org--name/blobs/<etag>                       contents, each once
                          blobs/<etag>.incomplete            partly here
                          snapshots/<commit>/<path>          links to blobs
                          refs/<branch>                      the commit of a branch

Source: huggingface_hub, "Understand caching".
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models_app.node.storage.budget import Budget, ScanStopped

FOLDER = re.compile(r"(models|datasets|spaces)--(.+)")
TRASH = ".sparkweb-deleted-"
PARTIAL_SUFFIX = ".incomplete"
PARTIAL = "partial"
REVISIONS_TOLD = 20
INDEX_LIMIT_BYTES = 20_000_000


class NotListed(Exception):
    """The cache holds nothing of that key."""


class NotDeletable(Exception):
    """It is there, and must be removed by hand."""


@dataclass
class _Revision:
    commit: str
    refs: list[str] = field(default_factory=list)
    blobs: set[str] = field(default_factory=set)
    own_bytes: int = 0
    files: int = 0
    missing: int = 0
    shards_missing: int = 0


@dataclass
class HfScan:
    """What was found: entries for the listing, bytes of all, and why it is a part, if it is."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    total_bytes: int = 0
    stopped: str = ""


def repo_folder(repo_type: str, repo: str) -> str:
    """Return the folder of a repository, as the library names it."""
    return "--".join([f"{repo_type}s", *repo.split("/")])


def hf_scan(hub: Path, budget: Budget) -> HfScan:
    """Look through a cache's `hub` folder. Raises OSError when it cannot be read; missing is empty."""
    scan = HfScan()
    try:
        folders = sorted(entry.name for entry in os.scandir(hub) if FOLDER.fullmatch(entry.name))
    except FileNotFoundError:
        return scan
    try:
        for name in folders:
            entry = _repo_entry(hub / name, budget)
            scan.entries.append(entry)
            scan.total_bytes += entry["bytes"]
    except ScanStopped as reason:
        scan.stopped = str(reason)
    return scan


def _repo_entry(folder: Path, budget: Budget) -> dict[str, Any]:
    match = FOLDER.fullmatch(folder.name)
    assert match
    entry: dict[str, Any] = {
        "key": f"hf:{folder.name}",
        "kind": "hf_dataset" if match[1] == "datasets" else "hf_model",
        "name": match[2].replace("--", "/"),
        "bytes": 0,
        "partial_bytes": 0,
        "used_at": None,
        "incomplete": "",
        "note": "",
        "revisions": [],
    }
    try:
        blobs = _blobs(folder / "blobs", budget)
        revisions = _revisions(folder, blobs, budget)
    except PermissionError as error:
        return {**entry, "note": f"This user may not read {error.filename}."}
    whole = {name: stat for name, stat in blobs.items() if not name.endswith(PARTIAL_SUFFIX)}
    partial = [stat for name, stat in blobs.items() if name.endswith(PARTIAL_SUFFIX)]
    own = sum(one.own_bytes for one in revisions)
    entry["partial_bytes"] = sum(stat.st_size for stat in partial)
    entry["bytes"] = sum(stat.st_size for stat in whole.values()) + entry["partial_bytes"] + own
    entry["used_at"] = max((stat.st_atime for stat in blobs.values()), default=None)
    entry["incomplete"] = _incomplete(revisions, len(partial))
    entry["revisions"] = [_told(one, whole) for one in revisions[:REVISIONS_TOLD]]
    if folder.is_symlink():
        entry["note"] = "The folder is a link to another place."
    return entry


def _blobs(folder: Path, budget: Budget) -> dict[str, os.stat_result]:
    found: dict[str, os.stat_result] = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            budget.spend()
            with contextlib.suppress(FileNotFoundError):
                found[entry.name] = entry.stat()
    return found


def _revisions(folder: Path, blobs: dict[str, os.stat_result], budget: Budget) -> list[_Revision]:
    try:
        names = sorted(entry.name for entry in os.scandir(folder / "snapshots") if entry.is_dir())
    except FileNotFoundError:
        return []
    refs = _refs(folder / "refs")
    found = []
    for name in names:
        revision = _Revision(name, [ref for ref, commit in refs.items() if commit == name])
        _snapshot_read(folder / "snapshots" / name, revision, blobs, budget)
        found.append(revision)
    return found


def _refs(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, _, names in os.walk(folder):
        for name in names[:100]:
            path = Path(place) / name
            with contextlib.suppress(OSError, ValueError):
                found[str(path.relative_to(folder))] = path.read_text()[:100].strip()
    return found


def _snapshot_read(
    folder: Path, revision: _Revision, blobs: dict[str, os.stat_result], budget: Budget
) -> None:
    present: set[str] = set()
    indexes: list[Path] = []
    for place, _, names in os.walk(folder):
        for name in names:
            budget.spend()
            path = Path(place) / name
            if not _file_read(path, revision, blobs):
                continue
            present.add(str(path.relative_to(folder)))
            if name.endswith(".safetensors.index.json"):
                indexes.append(path)
    for index in indexes:
        shards = _shards(index)
        base = index.parent.relative_to(folder)
        revision.shards_missing += sum(str(base / shard) not in present for shard in shards)


def _file_read(path: Path, revision: _Revision, blobs: dict[str, os.stat_result]) -> bool:
    """Count one file of a snapshot; whether its content is here."""
    revision.files += 1
    if not path.is_symlink():
        with contextlib.suppress(FileNotFoundError):
            revision.own_bytes += path.stat().st_size  # a cache without links keeps copies
        return True
    blob = path.readlink().name
    if blob in blobs or path.exists():
        revision.blobs.add(blob)
        return True
    revision.missing += 1
    return False


def _shards(index: Path) -> set[str]:
    """The files that an index of weights names; none if it cannot be read."""
    try:
        if index.stat().st_size > INDEX_LIMIT_BYTES:
            return set()
        return {str(shard) for shard in json.loads(index.read_bytes())["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def _incomplete(revisions: list[_Revision], partial: int) -> str:
    missing = max((one.missing + one.shards_missing for one in revisions), default=0)
    words = [f"{_files(partial)} partly here"] if partial else []
    words += [f"{_files(missing)} missing"] if missing else []
    if not words and not revisions:
        words = ["no revision is here"]
    return ", ".join(words)


def _files(count: int) -> str:
    return "1 file is" if count == 1 else f"{count} files are"


def _told(revision: _Revision, blobs: dict[str, os.stat_result]) -> dict[str, Any]:
    sizes = sum(blobs[name].st_size for name in revision.blobs if name in blobs)
    return {
        "commit": revision.commit,
        "refs": sorted(revision.refs)[:10],
        "bytes": sizes + revision.own_bytes,
        "files": revision.files,
    }


def hf_delete(hub: Path, key: str) -> int:
    """Delete a repository, one of its revisions (`…@commit`) or its partial files (`…@partial`).

    `key` is one of the listing, never a path: it must be found among what the folder
    lists, and nothing outside is touched, whatever links there are. Returns the bytes
    that were freed. Raises NotListed, NotDeletable, OSError.
    """
    trash_empty(hub)
    name, _, part = key.removeprefix("hf:").partition("@")
    if not FOLDER.fullmatch(name) or name not in _names(hub):
        raise NotListed(f"{key} is not in the cache")
    folder = hub / name
    if folder.is_symlink():
        raise NotDeletable(f"{folder} is a link to {folder.readlink()}: remove it by hand")
    if part == PARTIAL:
        return _partial_delete(folder)
    return _revision_delete(hub, folder, part) if part else _away(hub, folder)


def trash_empty(hub: Path) -> None:
    """Finish deletions that were cut short."""
    for name in _names(hub):
        if name.startswith(TRASH):
            shutil.rmtree(hub / name)


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []


def _away(hub: Path, folder: Path) -> int:
    """Move a folder aside in one step, so that nobody reads a half, then remove it."""
    size = _repo_entry(folder, Budget())["bytes"] if FOLDER.fullmatch(folder.name) else 0
    trash = hub / f"{TRASH}{folder.name}"
    folder.rename(trash)
    shutil.rmtree(trash)  # by directory handles: a link put in meanwhile is not followed
    locks = hub / ".locks" / folder.name
    if locks.is_dir() and not locks.is_symlink():
        shutil.rmtree(locks, ignore_errors=True)
    return int(size)


def _partial_delete(folder: Path) -> int:
    freed = 0
    for name in _names(_real(folder / "blobs")):
        if name.endswith(PARTIAL_SUFFIX):
            path = folder / "blobs" / name
            freed += path.lstat().st_size
            path.unlink()
    return freed


def _revision_delete(hub: Path, folder: Path, commit: str) -> int:
    """Remove one snapshot, the refs to it, and the blobs that no other snapshot needs."""
    snapshots = _real(folder / "snapshots")
    if commit not in _names(snapshots) or (snapshots / commit).is_symlink():
        raise NotListed(f"{folder.name} has no revision {commit}")
    budget = Budget()
    blobs = _blobs(_real(folder / "blobs"), budget)
    revisions = _revisions(folder, blobs, budget)
    if len(revisions) == 1:
        return _away(hub, folder)
    kept = set().union(*(one.blobs for one in revisions if one.commit != commit))
    gone = next(one for one in revisions if one.commit == commit)
    shutil.rmtree(snapshots / commit)
    for ref in gone.refs:
        (_real(folder / "refs") / ref).unlink(missing_ok=True)
    freed = gone.own_bytes
    for name in gone.blobs - kept:
        if name in blobs:
            freed += blobs[name].st_size
            (folder / "blobs" / name).unlink(missing_ok=True)
    return freed


def _real(folder: Path) -> Path:
    if folder.is_symlink():
        raise NotDeletable(f"{folder} is a link to {folder.readlink()}: remove it by hand")
    return folder
