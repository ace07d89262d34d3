"""The programs of the self-test: texts in `programs/`, each with the ends that are right for it. Pure.

name: fork bomb
ends: pids, memory          how it may end (sandbox_app/job.py, OUTCOMES)
says: ^reached \\[\\]$        a pattern that its output must hold; optional
session: yes                it runs in a session's workspace; optional
---
the program, in Python
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Program:
    """One program; its number is that of docs/sandbox-selftest.md."""

    number: int
    name: str
    code: str
    outcomes: tuple[str, ...]
    said: str = ""
    session: bool = False


def programs_read(folder: Path = FOLDER) -> list[Program]:
    """All programs, by number."""
    return [_program(path) for path in sorted(folder.glob("*.txt"))]


def _program(path: Path) -> Program:
    head, _, code = path.read_text().partition("\n---\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    return Program(
        number=int(path.name.partition("-")[0]),
        name=fields["name"],
        code=code,
        outcomes=tuple(fields["ends"].split(", ")),
        said=fields.get("says", ""),
        session=fields.get("session") == "yes",
    )
