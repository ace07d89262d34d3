"""What nodes say about sessions, and what follows from it: facts, the report, and reconcile each second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from sandbox_app.models import SessionState, ToolSession, WorkspaceKind
from sandbox_app.sessions import end_send, session_gone, session_over, why_over
from sparkweb.node_link import commands

NUDGE_EVERY_SECONDS = 5.0
# Workspaces that the database knows nothing of may belong to a backup that is being restored.
UNKNOWN_SECONDS = 30.0
USED_EVERY_SECONDS = 5.0
SESSIONS_MOST = 2000
TOOLS_MOST = 100
_UID_LENGTH = 36


@dataclass
class SessionsSeen:
    """What nodes reported of sessions that live rows do not account for. Any thread may use it."""

    clock: Callable[[], float] = time.monotonic
    _unknown_since: dict[tuple[str, str], float] = field(default_factory=dict)
    _used_at: dict[str, float] = field(default_factory=dict)
    _nudged: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def used_due(self, node_name: str) -> bool:
        """Whether the figures of a node's workspaces are to be looked at: each 5 s."""
        with self._lock:
            now = self.clock()
            if now - self._used_at.get(node_name, -USED_EVERY_SECONDS) < USED_EVERY_SECONDS:
                return False
            self._used_at[node_name] = now
            return True

    def nudge_due(self, uid: str) -> bool:
        """Whether a session's node is to be told again."""
        with self._lock:
            now = self.clock()
            if now - self._nudged.get(uid, -NUDGE_EVERY_SECONDS) < NUDGE_EVERY_SECONDS:
                return False
            self._nudged[uid] = now
            return True

    def unknown(self, node_name: str, uids: set[str]) -> list[str]:
        """Those of `uids`, which no row accounts for, that have been there for 30 s."""
        with self._lock:
            now = self.clock()
            mine = {key: at for key, at in self._unknown_since.items() if key[0] == node_name}
            for key in mine:
                if key[1] not in uids:
                    self._unknown_since.pop(key)
            for uid in uids:
                self._unknown_since.setdefault((node_name, uid), now)
            return [uid for uid in uids if now - self._unknown_since[(node_name, uid)] >= UNKNOWN_SECONDS]

    def forget(self, ending: set[str]) -> None:
        """Keep the times of nudges only where somebody still asks for them."""
        with self._lock:
            if len(self._nudged) > SESSIONS_MOST:
                self._nudged = {uid: at for uid, at in self._nudged.items() if uid in ending}


SEEN = SessionsSeen()


# The report, each second ----------------------------------------------------------------


def sessions_reported(node_name: str, entries: Any, seen: SessionsSeen = SEEN) -> None:
    """What the report's section `sandbox` says under `sessions`: how full, and which of them nobody knows."""
    if not isinstance(entries, list) or not seen.used_due(node_name):
        return
    told = {
        row["session"]: row
        for row in entries[:SESSIONS_MOST]
        if isinstance(row, dict)
        and isinstance(row.get("session"), str)
        and len(row["session"]) == _UID_LENGTH
    }
    rows = ToolSession.objects.filter(node_name=node_name, state__in=("live", "ending"))
    known = {row.uid: row for row in rows}
    for uid, row in known.items():
        used = _whole((told.get(uid) or {}).get("used_bytes"))
        if used is not None and used != row.used_bytes:
            ToolSession.objects.filter(pk=row.pk).update(used_bytes=used)
    for uid in seen.unknown(node_name, told.keys() - known.keys()):
        if seen.nudge_due(uid):
            commands.send(
                node_name, "sandbox.session_end", session=uid, generation=_generation(told[uid]) + 1
            )


# Facts: each is applied once, inside the intake's transaction ------------------------------


def tool_session_ready(node_name: str, data: dict[str, Any]) -> None:
    """A container of one tool has begun in the session; the one before it, if any, took its state along."""
    session = _session(node_name, data)
    if session is None or session.state != SessionState.LIVE:
        return
    kind = data.get("workspace")
    session.workspace = WorkspaceKind(kind) if kind in WorkspaceKind.values else WorkspaceKind.UNKNOWN
    session.workspace_note = _text(data.get("note"), 300)
    tool = _text(data.get("tool"), 64)
    if tool in session.containers or len(session.containers) < TOOLS_MOST:
        count = int(session.containers.get(tool, {}).get("count", 0)) + 1
        session.containers[tool] = {"began_at": timezone.now().isoformat(), "count": count}
    session.save(update_fields=["workspace", "workspace_note", "containers"])


def tool_session_ended(node_name: str, data: dict[str, Any]) -> None:
    """Nothing of a session is left; one of an older generation changes nothing."""
    session = _session(node_name, data)
    generation = data.get("generation")
    if session is None or not isinstance(generation, int) or generation < session.generation:
        return
    session_gone(session, _text(data.get("reason"), 200) or f"{node_name} ended it")


FACTS = {"tool_session_ready": tool_session_ready, "tool_session_ended": tool_session_ended}


# Reconcile ------------------------------------------------------------------------------


def sessions_reconcile(seen: SessionsSeen = SEEN) -> int:
    """End what is over, and tell nodes again what ends. Returns how many sessions live or end."""
    now = timezone.now()
    rows = list(ToolSession.objects.filter(state__in=("live", "ending")).select_related("owner", "node"))
    for row in rows:
        if row.state == SessionState.LIVE:
            if reason := why_over(row, now):
                seen.nudge_due(row.uid)
                session_over(row, reason)
        elif row.node_id is None:
            session_gone(row, f"{row.node_name} was removed")
        elif seen.nudge_due(row.uid):
            end_send(row)
    seen.forget({row.uid for row in rows})
    return len(rows)


def _session(node_name: str, data: dict[str, Any]) -> ToolSession | None:
    return ToolSession.objects.filter(uid=_text(data.get("session"), 36), node_name=node_name).first()


def _generation(row: dict[str, Any]) -> int:
    return _whole(row.get("generation")) or 1


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**60 else None


def _text(value: Any, most: int) -> str:
    text = value[:most].replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else ""
    return text.encode("utf-8", "replace").decode()
