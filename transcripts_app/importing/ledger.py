"""What was read of a file, or of all: counts that add up. No Django here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Count:
    """bytes are those of records, bad and blank lines; so are lines; copies and moved are among records."""

    bytes: int = 0
    record_bytes: int = 0
    bad_bytes: int = 0
    blank_bytes: int = 0
    lines: int = 0
    records: int = 0
    copies: int = 0
    conflicts: int = 0
    bad: int = 0
    blank: int = 0
    waiting_bytes: int = 0  # behind the last newline, at the end of the run
    moved: int = 0  # of a rewritten file: lines that were there before
    cut: int = 0  # blocks too long to be searched whole
    rewritten: int = 0
    files: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def add(self, other: Count) -> None:
        """Add what another counted."""
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    def as_json(self) -> dict[str, Any]:
        """As the archive keeps it."""
        return {
            name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Count:
        """As the archive kept it."""
        known = {name: value[name] for name in vars(cls()) if name in value}
        return cls(**known | {name: Counter(known.get(name, {})) for name in ("by_type", "unknown")})
