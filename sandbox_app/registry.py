"""Which tools there are: shipped ones and the owner's, read from disk into rows.

A folder that cannot be taken keeps its row, with the reason, and is not run; neither is one whose
folder went away. What a folder held is kept by digest, so a run gets the very files that its
record names, whatever becomes of the folder meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from sandbox_app.exceptions import ToolRefused
from sandbox_app.models import Tool, ToolRun
from sandbox_app.tool_folder import FolderRefused, folder_digest, folder_read
from sandbox_app.toolfile import tool_parse
from sparkweb.accounts.actor import SYSTEM, Actor, audit
from sparkweb.yaml_file import YamlRefused

__all__ = ["LoadReport", "folder_digest", "folder_tar", "tools_load"]

SHIPPED = settings.BASE_DIR / "tools"
DIGEST = re.compile(r"[0-9a-f]{64}")
FOLDERS_MOST = 500
# How long files are kept that no tool and no run names: a run may be on its way.
KEEP_SECONDS = 3600


@dataclass
class Found:
    """One folder as it was read: a definition with its digest, or a problem."""

    name: str
    folder: Path
    definition: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    problem: str = ""


@dataclass
class LoadReport:
    """What a load came to: names by what became of them. `refused` has the reason of each."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def usable_count(self) -> int:
        """Tools that were taken."""
        return len(self.added) + len(self.changed) + len(self.unchanged) - len(self.refused)

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        counts = (
            (len(self.added), "added"),
            (len(self.changed), "changed"),
            (len(self.missing), "missing"),
            (len(self.refused), "refused"),
        )
        told = ", ".join(f"{count} {word}" for count, word in counts if count)
        count = self.usable_count
        return f"{count} tool{'s' if count != 1 else ''}{': ' + told if told else ', none changed'}."


def tools_load(actor: Actor = SYSTEM) -> LoadReport:
    """Read every tool from disk and bring the rows up to date. Safe to repeat, at any time.

    The owner's folder goes before a shipped one of the same name.
    """
    found = _found(dict(Tool.objects.values_list("folder", "name")))
    try:
        report = _store_all(found, actor)
    except IntegrityError:  # somebody else loaded them at the same moment; now all are there
        report = _store_all(found, actor)
    _forget_old_folders()
    return report


def _store_all(found: dict[str, Found], actor: Actor) -> LoadReport:
    report = LoadReport()
    with transaction.atomic():
        rows = {row.name: row for row in Tool.objects.select_for_update()}
        for name, each in found.items():
            _store(rows.get(name), each, report)
        for name, row in rows.items():
            if name not in found and not row.missing:
                row.missing = True
                row.save(update_fields=["missing"])
                report.missing.append(name)
        if report.added or report.changed or report.missing:
            audit(actor, "tools_load", "", added=report.added, changed=report.changed, missing=report.missing)
    return report


def folder_tar(digest: str) -> bytes:
    """The tar of a tool's folder as it was when it had this digest.

    Raises ToolRefused where none is kept, or where what is kept is not what it was.
    """
    if not DIGEST.fullmatch(digest):
        raise ToolRefused("A tool's digest has 64 hex digits.", "digest_invalid")
    try:
        data = (_kept_dir() / digest).read_bytes()
    except FileNotFoundError:
        raise ToolRefused(f"No tool with the digest {digest[:12]}… is kept.", "tool_folder_missing") from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise ToolRefused(f"The kept folder of {digest[:12]}… has been changed.", "tool_folder_changed")
    return data


def _found(known: dict[str, str]) -> dict[str, Found]:
    """Every folder by the name of its tool; `known` has the names of before, by folder."""
    found: dict[str, Found] = {}
    for root in (SHIPPED, Path(settings.TOOLS_DIR)):
        here: dict[str, Found] = {}
        for folder in _folders(root):
            each = _read(folder, known)
            while each.problem and each.name in here:
                each.name = each.name[:63] + "_"  # a broken folder takes no good one's place
            if each.name in here:
                other = here[each.name].folder.name
                each.problem = f"two folders, {other} and {folder.name}, have this name"
            here[each.name] = each
        found |= here
    return found


def _folders(root: Path) -> Iterator[Path]:
    """Folders of tools, sorted. A folder that begins with a dot or has no TOOL.md is none."""
    try:
        entries = sorted(root.iterdir())
    except OSError:
        return
    for place in entries[:FOLDERS_MOST]:
        if not place.name.startswith(".") and place.is_dir() and (place / "TOOL.md").exists():
            yield place


def _read(folder: Path, known: dict[str, str]) -> Found:
    try:
        files = folder_read(folder)
        definition = tool_parse(files.tool_file, files.paths)
    except (FolderRefused, YamlRefused) as error:
        return Found(known.get(str(folder)) or _row_name(folder), folder, problem=str(error))
    return Found(definition["name"], folder, definition, _keep(files.tar()))


def _row_name(folder: Path) -> str:
    """What a folder that cannot be read is called: by its own name, as far as a name may be that."""
    return re.sub(r"[^a-z0-9_-]", "_", folder.name.lower())[:64] or "_"


def _keep(tar: bytes) -> str:
    digest = hashlib.sha256(tar).hexdigest()
    kept = _kept_dir() / digest
    if not _holds(kept, tar):
        draft = kept.with_name(f".{digest}.{os.getpid()}")
        draft.write_bytes(tar)
        draft.replace(kept)
    return digest


def _holds(kept: Path, tar: bytes) -> bool:
    try:
        return kept.read_bytes() == tar
    except FileNotFoundError:
        return False


def _kept_dir() -> Path:
    folder = Path(settings.DATA_DIR) / "tool-folders"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _store(row: Tool | None, found: Found, report: LoadReport) -> None:
    if found.problem:
        report.refused[found.name] = found.problem
    same = row is not None and (row.digest, row.problem, row.folder, row.missing) == (
        found.digest or row.digest,
        found.problem,
        str(found.folder),
        False,
    )
    if same:
        report.unchanged.append(found.name)
        return
    (report.added if row is None else report.changed).append(found.name)
    row = row or Tool(name=found.name)
    row.folder, row.problem, row.missing, row.loaded_at = (
        str(found.folder),
        found.problem,
        False,
        timezone.now(),
    )
    if not found.problem:
        row.definition, row.digest = found.definition, found.digest
        row.description, row.version = found.definition["description"], found.definition["version"]
        decisions_apply(row)
    row.save()


def decisions_apply(row: Tool) -> None:
    """Set what the owner may decide: from `overrides` where they did, else from the TOOL.md."""
    said = {"enabled": True, "role": "operator", "approval": False, "parallel": 8, **row.definition}
    said |= {key: value for key, value in row.overrides.items() if key in said and value is not None}
    row.enabled, row.role = said["enabled"], said["role"]
    row.approval, row.parallel_limit = said["approval"], said["parallel"]


def _forget_old_folders() -> None:
    """Drop kept folders that neither a tool nor a run names any more."""
    named = set(Tool.objects.values_list("digest", flat=True))
    for kept in _kept_dir().iterdir():
        idle = DIGEST.fullmatch(kept.name) and kept.name not in named and not _recent(kept)
        if idle and not ToolRun.objects.filter(tool_digest=kept.name).exists():
            kept.unlink(missing_ok=True)


def _recent(kept: Path) -> bool:
    return timezone.now().timestamp() - kept.stat().st_mtime < KEEP_SECONDS
