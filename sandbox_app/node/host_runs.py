"""What a run on the node itself has in hand: its time, its verdicts, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from sandbox_app.job import Ending, Job
from sparkweb.adapters.egress import Egress
from sparkweb.adapters.egress_answers import Fetched, FetchOrder
from sparkweb.adapters.egress_rules import EgressRefused

STDOUT_MOST_BYTES = 128 * 1024
TOO_LATE = 0.05


class RunStream(Protocol):
    """The part of a run's stream that a host runner writes to."""

    def output(self, fd: int, data: bytes) -> None: ...


class OutOfTime(Exception):
    """The run has used up what its policy gives it."""


class HostRun:
    """One run of a host runner: fetches go through here, so that none is without its verdict."""

    def __init__(self, job: Job, egress: Egress, stream: RunStream, cancelled: threading.Event) -> None:
        self.job = job
        self.cancelled = cancelled
        self.verdicts: list[dict[str, Any]] = []
        self._egress = egress
        self._stream = stream
        self._notes: list[str] = []
        self._began = time.monotonic()

    def note(self, text: str) -> None:
        """Tell who watches what happens now; it stands in the run's error output."""
        self._notes.append(text)
        self._stream.output(2, f"{text}\n".encode())

    def seconds_left(self) -> float:
        """Until its policy's time is over. Raises OutOfTime."""
        left = self._began + self.job.policy.timeout_seconds - time.monotonic()
        if left <= TOO_LATE:
            raise OutOfTime
        return left

    def fetch_all(self, orders: Sequence[FetchOrder], egress: Egress | None = None) -> list[Fetched]:
        """Fetch, and keep each verdict. Raises EgressCancelled."""
        answers = (egress or self._egress).fetch_all(orders, self.cancelled)
        for answer in answers:
            self.verdicts.extend(answer.verdicts)
        return answers

    def ending(self, outcome: str, reason: str = "", stdout: str = "", result: Any = None) -> Ending:
        """How it ended. A long text is cut at a whole character, and says so."""
        text = stdout.encode("utf-8", "replace")
        shown = text[:STDOUT_MOST_BYTES].decode(errors="ignore")
        if shown:
            self._stream.output(1, shown.encode())
        notes = "".join(f"{note}\n" for note in self._notes)
        return Ending(
            run=self.job.run,
            generation=self.job.generation,
            outcome=outcome,
            reason=reason,
            exit_code={"ok": 0, "exit": 1}.get(outcome),
            stdout=shown,
            stderr=notes,
            stdout_bytes=len(text),
            stderr_bytes=len(notes.encode()),
            truncated=len(text) > STDOUT_MOST_BYTES,
            result=result,
            limits={
                "timeout_seconds": self.job.policy.timeout_seconds,
                "egress": list(self.job.policy.egress),
            },
            egress=self.verdicts,
            duration_ms=round((time.monotonic() - self._began) * 1000, 1),
        )

    def trouble(self, answer: Fetched) -> Ending:
        """The end of a run whose one fetch came to nothing."""
        assert answer.trouble is not None
        outcome = "refused" if isinstance(answer.trouble, EgressRefused) else "exit"
        if outcome == "exit" and answer.trouble.args and self._late():
            outcome = "wall"
        return self.ending(outcome, str(answer.trouble))

    def _late(self) -> bool:
        return time.monotonic() - self._began >= self.job.policy.timeout_seconds - TOO_LATE
