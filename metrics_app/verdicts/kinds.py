"""The kinds of verdict: how each is called, how long it must hold, and how long it must be gone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from metrics_app.alerts.words import figure_words


class Severity(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Kind:
    """`begins`: seconds that a finding must hold to become a verdict; `ends`: seconds gone to be over."""

    label: str
    begins: float
    ends: float


KINDS: dict[str, Kind] = {
    "memory_exhaustion": Kind("Memory runs out soon", 8, 15),
    "gpu_wedge": Kind("A GPU is stuck at a low clock", 20, 15),
    "gpu_throttled": Kind("Heat or power holds a GPU back", 10, 20),
    "straggler": Kind("One node of a model waits for the other", 10, 30),
    "orphaned_memory": Kind("GPU memory that nothing claims", 60, 10),
    "memory_pressure": Kind("Programs wait for memory", 10, 30),
    "io_pressure": Kind("Programs wait for disks", 30, 30),
    "disk_full": Kind("A disk is nearly full", 30, 60),
    "disk_filling": Kind("A disk is soon full", 60, 120),
    "sampler_cost": Kind("SparkWeb's own readings cost much", 30, 60),
}
EVENT_PREFIX = "verdict_"


@dataclass(frozen=True)
class Evidence:
    """One figure that a verdict rests on."""

    name: str
    value: float
    unit: str

    def to_json(self) -> dict[str, object]:
        words = figure_words(self.value, self.unit)
        return {"name": self.name, "value": self.value, "unit": self.unit, "words": words}


@dataclass(frozen=True)
class Finding:
    """What is the matter now. `subject`: a GPU's index, a mount point, a model's slug, or ""."""

    kind: str
    subject: str
    severity: Severity
    title: str
    sentence: str
    evidence: tuple[Evidence, ...]


Place = tuple[str, str]


def evidence_of(*rows: tuple[str, float | None, str]) -> tuple[Evidence, ...]:
    """Evidence from (name, value, unit); what is not known is left out."""
    return tuple(Evidence(name, round(value, 3), unit) for name, value, unit in rows if value is not None)


def span_words(seconds: float) -> str:
    """A span as people say it: "41 s", "12 min", "3 h"."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def names_words(names: Iterable[str], most: int = 3) -> str:
    """Names in a row: "a, b and 2 more"."""
    listed = list(dict.fromkeys(names))
    shown, rest = listed[:most], len(listed) - most
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")
