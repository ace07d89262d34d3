"""What lies on the node, looked at in a slow lane: each area in a thread of its own, with a time limit.

A scan that a dead network disk holds up in the kernel stays behind, alone; its area
is told as not answering, and the others go on.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from models_app.node.storage.room_words import error_words
from models_app.node.storage.space import room_of

log = structlog.get_logger(__name__)

EVERY_SECONDS = 900.0
LATE_SECONDS = 120.0
ENTRIES_TOLD = 200
LISTING_LIMIT_BYTES = 150_000
NAME_LIMIT = 300


@dataclass
class Found:
    """One area: entries for the listing, bytes of all, and why it is a part, if it is."""

    entries: list[dict[str, Any]]
    total_bytes: int
    stopped: str = ""


@dataclass
class Area:
    """One place to look at. `folder` may be known only to `look` (an engine's)."""

    name: str
    look: Callable[[], Found]
    folder: Callable[[], Path | None]
    entries: list[dict[str, Any]] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    began_at: float | None = None
    ended_at: float | None = None


class Scanner:
    """Looks at all areas every quarter of an hour, and when asked to. Any thread may use it."""

    def __init__(
        self, areas: list[Area], on_change: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._areas = areas
        self._on_change = on_change
        self._clock = clock
        self._lock = threading.Lock()
        self._scanned_at: float | None = None
        self._again: set[str] = set()

    def scan_now(self, names: set[str] | None = None) -> None:
        """Look again, at these areas or all; one that is being looked at is looked at once more after."""
        for area in self._areas:
            if names is None or area.name in names:
                self._begin(area)

    def tick(self) -> None:
        """Begin what is due; called each second."""
        now = self._clock()
        for area in self._areas:
            if area.began_at is None and (area.ended_at is None or now - area.ended_at >= EVERY_SECONDS):
                self._begin(area)

    def _begin(self, area: Area) -> None:
        with self._lock:
            if area.began_at is not None:
                self._again.add(area.name)
                return
            area.began_at = self._clock()
        threading.Thread(target=self._look, args=[area], name=f"scan-{area.name}", daemon=True).start()

    def _look(self, area: Area) -> None:
        while True:
            told, entries = _looked(area)
            with self._lock:
                area.told, area.entries = told, entries
                self._scanned_at = time.time()
                area.ended_at, area.began_at = self._clock(), None
                again = area.name in self._again
                self._again.discard(area.name)
                if again:
                    area.began_at = self._clock()
            if not again:
                break
        self._on_change()

    def section(self) -> dict[str, Any]:
        """The report's part: how each area is, no entries. Small."""
        now = self._clock()
        with self._lock:
            areas = {area.name: self._area_told(area, now) for area in self._areas}
            scanning = any(self._is_awaited(area, now) for area in self._areas)
            return {"scanned_at": self._scanned_at, "scanning": scanning, "areas": areas}

    @staticmethod
    def _is_awaited(area: Area, now: float) -> bool:
        """Whether an answer is to come; one that is late is not waited for."""
        if area.began_at is None:
            return area.ended_at is None
        return now - area.began_at <= LATE_SECONDS

    def _area_told(self, area: Area, now: float) -> dict[str, Any]:
        if area.began_at is not None and now - area.began_at > LATE_SECONDS:
            message = f"It has not answered for over {LATE_SECONDS:.0f} s; what is shown is from before."
            return {**_NOTHING, **area.told, "status": "slow", "message": message}
        return area.told or {**_NOTHING, "status": "unknown"}

    def listing(self) -> dict[str, Any]:
        """All areas with their largest entries, bounded; what is left out is counted."""
        now = self._clock()
        with self._lock:
            entries = sorted(
                (entry for area in self._areas for entry in area.entries), key=lambda entry: -entry["bytes"]
            )
            areas = {area.name: self._area_told(area, now) for area in self._areas}
        told = _fitting(entries[:ENTRIES_TOLD])
        left = entries[len(told) :]
        return {
            "areas": areas,
            "entries": told,
            "left_out": {"count": len(left), "bytes": sum(entry["bytes"] for entry in left)},
        }


def _fitting(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first entries that fit into one fact."""
    size = 0
    for index, entry in enumerate(entries):
        size += len(json.dumps(entry))
        if size > LISTING_LIMIT_BYTES:
            return entries[:index]
    return entries


_NOTHING: dict[str, Any] = {
    "path": None, "bytes": None, "count": None, "free_bytes": None, "disk_bytes": None, "message": "",
}  # fmt: skip


def _looked(area: Area) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Look at one area; what goes wrong is told in its place."""
    told = dict(_NOTHING)
    try:
        folder = area.folder()
        if folder:
            room = room_of(folder)
            told |= {"path": str(folder)}
            told |= {"free_bytes": room.free_bytes, "disk_bytes": room.total_bytes} if room else {}
        found = area.look()
    except Exception as error:  # noqa: BLE001 - whatever an area does, the others are told
        status, message = error_words(error)
        log.info("storage area not scanned", area=area.name, reason=message)
        return {**told, "status": status, "message": message}, []
    told |= {
        "bytes": found.total_bytes,
        "count": len(found.entries),
        "status": "part" if found.stopped else "ok",
        "message": found.stopped,
    }
    return told, [_clean(entry) for entry in found.entries]


def _clean(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry whose texts are text (a file name may be any bytes) and not endless."""
    text = json.loads(json.dumps(entry, ensure_ascii=False).encode(errors="replace"))
    return {key: value[:NAME_LIMIT] if isinstance(value, str) else value for key, value in text.items()}


def listing_digest(listing: dict[str, Any]) -> str:
    """Changes when the listing says something new; when things were last read counts by the hour."""
    rows = [{**entry, "used_at": int((entry["used_at"] or 0) // 3600)} for entry in listing["entries"]]
    areas = {name: {**told, "free_bytes": None} for name, told in listing["areas"].items()}
    text = json.dumps([rows, areas, listing["left_out"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
