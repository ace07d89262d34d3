"""From jobs to messages: small ones here, larger ones in a process beside this one, a few chunks ahead."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from transcripts_app.importing.batch import Limits
from transcripts_app.importing.reader import ALL, END, Job, Message, frame, frames, jobs_read

APART_BYTES = 8 * 2**20  # less is read sooner than a process is started
AHEAD = 3  # messages, of a few megabytes at most
PIPE_BYTES = 2**20
READER = ["-m", "transcripts_app.importing.reader"]
ROOT = Path(__file__).resolve().parents[2]


def messages(jobs: Sequence[Job], limits: Limits, size: int) -> Iterator[Message]:
    """Yield what is read of these files, in their order; `size` bytes are expected.

    A file that ends the reading process (for memory, say) ends with that problem, and the others
    are read all the same.
    """
    if size < APART_BYTES or (os.cpu_count() or 1) < 2:
        yield from jobs_read(jobs, limits)
        return
    at = 0
    while at < len(jobs):
        reader = _Reader(jobs[at:], limits)
        try:
            for message in reader.messages():
                at += message[0] == END
                yield message
            ended = reader.ended()
        finally:
            reader.close()
        if ended is None:
            return
        if at < len(jobs):
            yield END, jobs[at].number, f"the process that read it ended ({ended})"
            at += 1


class _Reader:
    """The process that reads, and the thread that takes what it says."""

    def __init__(self, jobs: Sequence[Job], limits: Limits) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *READER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )  # fmt: skip
        self.complete = False
        self.waiting: queue.Queue[Message | None] = queue.Queue(AHEAD)
        assert self.process.stdin and self.process.stdout
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.process.stdout.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        with contextlib.suppress(BrokenPipeError), self.process.stdin as out:
            out.write(frame(tuple(limits)) + frame([tuple(job) for job in jobs]))
        self.thread = threading.Thread(target=self._take, name="transcripts-reader", daemon=True)
        self.thread.start()

    def _take(self) -> None:
        assert self.process.stdout
        with contextlib.suppress(OSError, ValueError):
            for message in frames(self.process.stdout):
                self.waiting.put(message)
        self.waiting.put(None)

    def messages(self) -> Iterator[Message]:
        while (message := self.waiting.get()) is not None:
            if message[0] == ALL:
                self.complete = True
            else:
                yield message

    def ended(self) -> str | None:
        """Why the process ended; None where it had read everything."""
        code = self.process.wait()
        if self.complete:
            return None
        return f"signal {-code}" if code < 0 else f"status {code}"

    def close(self) -> None:
        """End the process and the thread, whatever they are at."""
        self.process.kill()
        self.process.wait()
        while self.thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self.waiting.get(timeout=0.05)
        assert self.process.stdout
        self.process.stdout.close()
