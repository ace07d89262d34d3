"""A file as a run reads it on: whether there is anything to read, how much, and as which job."""

from __future__ import annotations

from dataclasses import dataclass, field

from transcripts_app.importing.ledger import Count
from transcripts_app.importing.places import FileState
from transcripts_app.importing.reader import Job
from transcripts_app.importing.walk import Found


@dataclass(slots=True)
class Opened:
    """A file that is being read."""

    found: Found
    state: FileState | None
    count: Count = field(default_factory=Count)
    settled: bool = False  # its session's project is known as well as it tells
    in_pieces: bool = False  # a giant line of it is stored in part


def file_is_new(found: Found, state: FileState | None) -> bool:
    """Whether a file is to be looked into: it is another than before, or could not be opened then."""
    if state is None:
        return True
    if found.role == "refused" or state.role == "refused":
        return (state.role, state.problem) != (found.role, found.problem)
    return (state.size, state.mtime_ns) != (found.size, found.mtime_ns) or state.problem.startswith("cannot")


def bytes_left(one: Opened) -> int:
    """What is to be read of it, as the walk saw it."""
    return max(0, one.found.size - (one.state.read_to if one.state else 0))


def job_of(number: int, one: Opened) -> Job:
    """The file as the reading process is told of it."""
    state, found = one.state, one.found
    if state is None:
        return Job(number, found.real, found.role, 0, 0, 0, b"")
    return Job(number, found.real, found.role, state.read_to, state.lines, state.bad_lines, state.fingerprint)
