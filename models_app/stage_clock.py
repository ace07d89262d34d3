"""Which stage a start is in, since when, and how long it has stood still there. Pure.

pull → create → download → load → compile → warmup → ready; any of them may be
missing. What a node reports each second is compared with what it reported before:
more bytes or another milestone is progress, time alone is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PULL, CREATE, DOWNLOAD, LOAD, COMPILE, WARMUP = STAGES = (
    "pull",
    "create",
    "download",
    "load",
    "compile",
    "warmup",
)
# The first three are done one after the other, so that of several members the last one counts;
# later each waits for the others, and the one that is furthest tells where they are.
_EACH_FOR_ITSELF = STAGES[:3]
_PHASES = {"pulling": PULL, "creating": CREATE}
# Longer than this without a report is not the engine's silence, and does not count against it.
UNSEEN_SECONDS = 5.0

WHAT_STOOD = {
    PULL: "Pulling the image",
    CREATE: "Creating the container",
    DOWNLOAD: "The download of the model",
    LOAD: "Loading the model",
    COMPILE: "Compiling the model",
    WARMUP: "Warming up",
}


@dataclass(frozen=True)
class Sighting:
    """What was seen of a start: its stage, and all that would tell progress."""

    stage: str
    sign: tuple[Any, ...]
    words: str


def sighting_of(entries: list[dict[str, Any]]) -> Sighting | None:
    """What the newest report entries of a launch's members say; None when none of them is on its way up."""
    seen = [(stage, entry) for entry in entries if (stage := _stage_of(entry))]
    if not seen:
        return None
    early = [stage for stage, _ in seen if stage in _EACH_FOR_ITSELF]
    stage = min(early, key=STAGES.index) if early else max((s for s, _ in seen), key=STAGES.index)
    sign = tuple(
        (name, told.get("done_bytes"), told.get("message"))
        for name, entry in seen
        for told in [entry.get("stage") or {}]
    )
    words = next((str((e.get("stage") or {}).get("message") or "") for s, e in seen if s == stage), "")
    return Sighting(stage, sign, words)


def _stage_of(entry: dict[str, Any]) -> str | None:
    phase = entry.get("phase")
    if phase in _PHASES:
        return _PHASES[str(phase)]
    if phase != "running" or (entry.get("probe") or {}).get("ready"):
        return None
    name = (entry.get("stage") or {}).get("name")
    return name if name in STAGES else LOAD


@dataclass
class StageClock:
    """One attempt on its way up. All times are monotonic seconds of whoever looks.

    `seconds` is how long it was in each stage before the current one began; a
    stage that comes again (a second file to download) goes on counting.
    """

    stage: str = ""
    began: float = 0.0
    moved: float = 0.0
    seen: float = 0.0
    sign: tuple[Any, ...] = ()
    words: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def look(self, sighting: Sighting, now: float) -> bool:
        """Take over what was seen; whether another stage began."""
        unseen = now - self.seen
        if self.stage and unseen > UNSEEN_SECONDS:
            self.began += unseen
            self.moved += unseen
        self.seen = now
        begins = sighting.stage != self.stage
        if begins:
            self.leave(now)
            self.stage, self.began = sighting.stage, now
        if begins or sighting.sign != self.sign:
            self.sign, self.moved = sighting.sign, now
        self.words = sighting.words
        return begins

    def leave(self, now: float) -> None:
        """Add what the current stage took to its sum."""
        if self.stage:
            self.seconds[self.stage] = self.seconds_in(self.stage, now)
            self.began = now

    def seconds_in(self, stage: str, now: float) -> float:
        """How long it was in a stage by now."""
        current = max(0.0, now - self.began) if stage == self.stage else 0.0
        return self.seconds.get(stage, 0.0) + current

    def stood_seconds(self, now: float) -> float:
        """How long nothing has moved."""
        return max(0.0, now - self.moved)


def stood_sentence(stage: str, limit_seconds: float, words: str) -> str:
    """Say which stage was given up, after how long, and where it stood."""
    minutes = limit_seconds / 60
    span = f"{minutes:g} min" if minutes >= 1 else f"{limit_seconds:g} s"
    last = f"; the last it told was: {words}" if words else ""
    return (
        f"{WHAT_STOOD[stage]} stood still for {span} and was given up{last}. "
        f"SPARKWEB_LIMIT_{stage.upper()}_MINUTES sets how long is waited."
    )
