"""A session's thread in windows: a fixed number of lines each, so that any place is found by arithmetic.

Line numbers never move (files only grow), so neither do windows; a session of any
length costs the same to open at any place.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet, Sum

from transcripts_app.archive.models import Record, Session, ToolCall, TranscriptFile

WINDOW_LINES = 40


@dataclass(frozen=True)
class Window:
    """Lines of one file, first and last included; `number` counts from 0 over all files of the thread."""

    number: int
    file: TranscriptFile
    first: int
    last: int


@dataclass(frozen=True)
class Thread:
    """Files read one after another. `of_agents`: no session's file was found, only those of sub-agents."""

    session: Session
    files: list[TranscriptFile]
    of_agents: bool = False

    @property
    def windows(self) -> int:
        """How many there are; an empty thread has one, which is empty."""
        return max(1, sum(_windows(file) for file in self.files))

    @property
    def lines(self) -> int:
        return sum(file.lines for file in self.files)

    def window(self, number: int) -> Window | None:
        """Return a window; None where the thread has none of that number."""
        left = number
        for file in self.files:
            if 0 <= left < _windows(file):
                first = left * WINDOW_LINES + 1
                return Window(number, file, first, min(first + WINDOW_LINES - 1, file.lines))
            left -= _windows(file)
        return None

    def window_of(self, record: Record) -> int | None:
        """Return the number of the window that holds a record; None where it is in no file of the thread."""
        before = 0
        for file in self.files:
            if file.pk == record.file_id:
                return before + (record.line - 1) // WINDOW_LINES
            before += _windows(file)
        return None


def thread_of(session: Session) -> Thread:
    """Return the thread that a session's page shows."""
    files = list(session.files.filter(role="session").order_by("pk"))
    if files:
        return Thread(session, files)
    spawned = ToolCall.objects.filter(session=session, agent_file__isnull=False).values("agent_file")
    return Thread(session, list(agents_of(session).exclude(pk__in=spawned)), of_agents=True)


def thread_of_agent(session: Session, file: TranscriptFile) -> Thread:
    """Return the thread of one sub-agent."""
    return Thread(session, [file], of_agents=True)


def agents_of(session: Session) -> QuerySet[TranscriptFile]:
    """Return the files of a session's sub-agents."""
    return session.files.filter(role="agent").order_by("pk")


def agents_loose(session: Session) -> list[TranscriptFile]:
    """Return the sub-agents that no call is known to have started."""
    spawned = ToolCall.objects.filter(session=session, agent_file__isnull=False).values("agent_file")
    return list(agents_of(session).exclude(pk__in=spawned))


def lines_known(session: Session) -> int:
    """How many lines of a session were read, sub-agents included: it changes when anything is appended."""
    return session.files.aggregate(lines=Sum("lines"))["lines"] or 0


def _windows(file: TranscriptFile) -> int:
    return -(-file.lines // WINDOW_LINES)
