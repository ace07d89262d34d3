"""What pages show of sessions and of their files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from metrics_app.models import Node
from metrics_app.selectors import node_snapshots
from sandbox_app.models import SessionState, ToolSession, WorkspaceKind

TIGHT_PERCENT = 90.0


@dataclass(frozen=True)
class SessionRow:
    """One session with what is computed about it. `used_percent` is None before the node has told."""

    session: ToolSession
    now: datetime

    @property
    def state(self) -> tuple[str, str]:
        """Tone and word."""
        if self.session.state == SessionState.ENDED:
            return "", "Ended"
        if self.session.state == SessionState.ENDING or self.session.expires_at <= self.now:
            return "busy", "Ending"
        return ("good", "Live") if self.session.containers else ("", "Not used yet")

    @property
    def kind(self) -> str:
        """What its workspace is, in few words."""
        kinds = {WorkspaceKind.EXT4: "on disk, with a quota", WorkspaceKind.TMPFS: "in memory"}
        return kinds.get(WorkspaceKind(self.session.workspace), "made when it is needed")

    @property
    def in_memory(self) -> bool:
        return bool(self.session.workspace == WorkspaceKind.TMPFS)

    @property
    def used_percent(self) -> float | None:
        used = self.session.used_bytes
        return None if used is None else min(100.0, 100 * used / max(1, self.session.size_bytes))

    @property
    def tight(self) -> bool:
        return (self.used_percent or 0.0) >= TIGHT_PERCENT

    @property
    def containers(self) -> list[tuple[str, datetime | None, int]]:
        """By tool: since when its variables are kept, and how many containers took earlier ones along."""
        rows = sorted(self.session.containers.items())
        return [(tool, parse_datetime(row["began_at"]), row["count"] - 1) for tool, row in rows]


def session_rows(sessions: Iterable[ToolSession]) -> list[SessionRow]:
    now = timezone.now()
    return [SessionRow(session, now) for session in sessions]


def memory_notes() -> list[tuple[str, str]]:
    """Nodes that would keep a new session's files in memory, and why, by their newest reports."""
    found = []
    for name, snapshot in node_snapshots(list(Node.objects.values_list("name", flat=True))).items():
        told = ((snapshot or {}).get("report") or {}).get("sandbox") or {}
        if told.get("workspaces") == "tmpfs":
            found.append((name, str(told.get("workspaces_why") or "")[:300]))
    return found


@dataclass(frozen=True)
class FileRow:
    """One name in a folder."""

    name: str
    path: str
    kind: str
    size_bytes: int | None
    modified_at: datetime | None
    reachable: bool

    @property
    def why(self) -> str:
        """Why it cannot be opened here."""
        return "a link" if self.kind == "link" else "several names, or none that is text" if (
            self.kind == "file"
        ) else "no regular file"  # fmt: skip


@dataclass(frozen=True)
class FolderRow:
    """One folder as its node told it; `crumbs` are the folders above, with their paths."""

    path: str
    rows: list[FileRow]
    more: bool
    crumbs: list[tuple[str, str]]

    @classmethod
    def of(cls, told: dict[str, Any]) -> FolderRow:
        path = str(told.get("path") or "")
        parts = path.split("/") if path else []
        crumbs = [(part, "/".join(parts[: number + 1])) for number, part in enumerate(parts)]
        rows = [_file_row(path, entry) for entry in told.get("entries") or [] if isinstance(entry, dict)]
        return cls(path, rows, bool(told.get("more")), crumbs)


def _file_row(folder: str, entry: dict[str, Any]) -> FileRow:
    name = str(entry.get("name") or "")
    size, at = entry.get("size_bytes"), entry.get("modified_at")
    return FileRow(
        name=name,
        path=f"{folder}/{name}" if folder else name,
        kind=str(entry.get("kind") or "other"),
        size_bytes=size if isinstance(size, int) else None,
        modified_at=_moment(at),
        reachable=entry.get("reachable") is True,
    )


def _moment(seconds: Any) -> datetime | None:
    """A time that a program of the session may have set to anything."""
    if not isinstance(seconds, int | float) or not 0 <= seconds < 2**33:
        return None
    return datetime.fromtimestamp(seconds, UTC)
