"""Whether an engine is at work, from what its node reports of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

COUNTERS = ("prompt_tokens_total", "generation_tokens_total")


@dataclass(frozen=True)
class Use:
    """Requests at work (running and waiting) and tokens so far; None where the engine does not say."""

    requests: float | None
    tokens: float | None

    @property
    def is_known(self) -> bool:
        return self.requests is not None and self.tokens is not None


def use_of(entries: Iterable[dict[str, Any] | None]) -> Use:
    """Return the use of a launch from the report's entries of its members; the first that says counts."""
    engine = next((entry["engine"] for entry in entries if entry and entry.get("engine")), None) or {}
    running, waiting = engine.get("requests_running"), engine.get("requests_waiting")
    counted = [engine[name] for name in COUNTERS if engine.get(name) is not None]
    return Use(
        requests=None if running is None or waiting is None else running + waiting,
        tokens=sum(counted) if counted else None,
    )


@dataclass
class IdleWatch:
    """Since when each launch has had nothing to do (monotonic seconds), by a key of its attempt."""

    since: dict[str, tuple[float, float | None]] = field(default_factory=dict)

    def idle_seconds(self, key: str, use: Use, now: float) -> float | None:
        """Take in one look; return how long nothing was asked for, None while that is not known.

        Requests at work, tokens that moved and figures that are missing each begin it anew.
        """
        since, tokens = self.since.get(key, (now, use.tokens))
        if not use.is_known:
            self.since.pop(key, None)
            return None
        if use.requests or tokens != use.tokens:
            since = now
        self.since[key] = (since, use.tokens)
        return now - since

    def keep(self, keys: set[str]) -> None:
        """Forget every launch that is not among `keys`."""
        self.since = {key: value for key, value in self.since.items() if key in keys}
