"""Notices when the NVIDIA driver, or a card, comes back: replaced, loaded again, or answering after silence.

Samplers come and go with the driver, so this lives beside them, in the agent, and reads their lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SHOWN_SECONDS = 900.0
OVERDUE_SECONDS = 3.0  # shorter silences are a driver being opened, or a busy machine


class DriverWatch:
    """Takes the sampler's lines one after another; `reloads` counts what came back since it was made."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self.reloads = 0
        self._clock = clock
        self._wall = wall
        self._driver: str | None = None
        self._away: tuple[float, str, bool] | None = None
        self._lost: dict[str, float] = {}
        self._told: dict[str, Any] | None = None
        self._told_at = 0.0

    def take(self, line: dict[str, Any]) -> dict[str, Any] | None:
        """Return what came back within the last 15 min, as `reloaded` of the report's `gpu`, else None."""
        now, gpu = self._clock(), line["gpu"]
        if gpu["status"] == "ok":
            self._answers(now, gpu.get("driver"), line["gpus"])
        elif self._driver is not None:
            self._silent(now, str(gpu.get("message")), float(line["sampler"]["gpu_silent_seconds"]))
        if self._told and now - self._told_at > SHOWN_SECONDS:
            self._told = None
        return self._told

    def _silent(self, now: float, message: str, silent_seconds: float) -> None:
        """NVML gave up with a cause, or has not answered for too long; the last cause told is the best."""
        if 0 < silent_seconds < OVERDUE_SECONDS:
            return
        hung = silent_seconds > 0 and (self._away is None or self._away[2])
        self._away = (self._away[0] if self._away else now - silent_seconds, message, hung)

    def _answers(self, now: float, driver: str | None, gpus: list[dict[str, Any]]) -> None:
        before, away, self._away = self._driver, self._away, None
        self._driver = driver or before or ""
        returned = self._returned(now, gpus)
        if before and driver and driver != before:
            words = f"Driver {before} was replaced by {driver}"
            self._tell(now, "replaced", f"{words}{_gap(now, away)}", driver_before=before)
        elif away:
            kind = "answers" if away[2] else "reloaded"
            words = f"Driver {driver} answers again" if driver else "The driver answers again"
            self._tell(now, kind, f"{words}{_gap(now, away)}")
        elif returned:
            row, seconds = returned
            words = f"GPU {row['index']} ({row['name']}) answers again; it was lost for {seconds:.0f} s"
            self._tell(now, "found", words, gpu=row["index"])

    def _returned(self, now: float, gpus: list[dict[str, Any]]) -> tuple[dict[str, Any], float] | None:
        """Return a card that was lost and is no more, with the seconds that it was."""
        returned = None
        for row in gpus:
            key = str(row["uuid"] or row["index"])
            if row["state"] == "lost":
                self._lost.setdefault(key, now)
            elif key in self._lost:
                returned = row, now - self._lost.pop(key)
        return returned

    def _tell(self, now: float, kind: str, sentence: str, **facts: Any) -> None:
        self.reloads += 1
        self._told_at = now
        told = {"kind": kind, "at": round(self._wall(), 3), "sentence": sentence}
        self._told = {**told, "driver_before": None, "gpu": None, **facts}


def _gap(now: float, away: tuple[float, str, bool] | None) -> str:
    return f"; no figures for {now - away[0]:.0f} s: {away[1]}" if away else ""
