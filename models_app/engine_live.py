"""What engines say of their own work, on its way from a node's report to pages and the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metrics_app.selectors import node_snapshots
from models_app.models import Launch
from sparkweb import live

REASONS = {
    "unsupported": "The engine does not say",
    "stale": "No fresh figure: the engine has not answered",
}


@dataclass(frozen=True)
class EngineFigure:
    """One figure for a page: `text` is a dash where there is none, and `reason` says why."""

    name: str
    label: str
    text: str
    reason: str


# Name, what people call it, its unit. The script engine_figures.js writes them alike.
SHOWN = (
    ("requests_running", "Running", ""),
    ("requests_waiting", "Waiting", ""),
    ("kv_cache_percent", "KV cache", " %"),
    ("prompt_tokens_per_second", "Reads", " tokens/s"),
    ("generation_tokens_per_second", "Writes", " tokens/s"),
)

_told: dict[str, Any] = {}


def engines_publish(node_name: str, entries: list[dict[str, Any]]) -> None:
    """Tell browsers the figures of a node's engines that moved since its last report."""
    seen: dict[str, Any] = {}
    for entry in entries:
        if not (isinstance(entry.get("engine"), dict) and isinstance(entry.get("member"), str)):
            continue
        key = f"{node_name}:{entry['member']}"
        seen[key] = entry["engine"]
        if _told.get(key) != entry["engine"]:
            live.publish(
                f"engine:{entry['member']}",
                {
                    "type": "engine",
                    "launch": entry.get("launch"),
                    "member": entry["member"],
                    "engine": entry["engine"],
                },
            )
    for key in [key for key in _told if key.startswith(f"{node_name}:") and key not in seen]:
        del _told[key]
    _told.update(seen)


def engine_figures(engine: dict[str, Any] | None) -> list[EngineFigure]:
    """Return what a page shows of the report's `engine`; nothing while no engine was asked."""
    if not engine:
        return []
    why = engine.get("why") or {}
    return [
        EngineFigure(name, label, _text(engine.get(name), unit), _reason(engine.get(name), why.get(name)))
        for name, label, unit in SHOWN
    ]


def engine_of_launch(launch: Launch) -> dict[str, Any] | None:
    """Return the newest `engine` that a launch's node reported of its live member; None without one."""
    snapshot = node_snapshots([launch.node_name])[launch.node_name] if launch.live else None
    entries = (snapshot["report"].get("launches") or []) if snapshot else []
    mine = (entry for entry in entries if isinstance(entry, dict) and entry.get("launch") == launch.uid)
    return next((entry["engine"] for entry in mine if entry.get("engine")), None)


def engine_unread() -> dict[str, Any]:
    """Return the shape of `engine` for a launch whose engine nobody has asked: all null, `stale`."""
    names = [name for name, _, _ in SHOWN] + ["prompt_tokens_total", "generation_tokens_total", "loaded"]
    return dict.fromkeys(names) | {"why": dict.fromkeys(names, "stale")}


def _text(value: Any, unit: str) -> str:
    return "–" if value is None else f"{value:,.0f}{unit}"


def _reason(value: Any, why: str | None) -> str:
    return REASONS.get(why or "", "Not known") if value is None else ""
