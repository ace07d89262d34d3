"""Reads a folder into an archive in a process of its own, and kills itself (-9) where it is told to.

    python -m tests.support.doomed_import ARCHIVE FOLDER KIND AT APART

KIND is `statement` or `step`: the AT-th SQL statement, or the AT-th thousand steps of SQLite's machine,
is the last one. 0 never comes. APART: 1 has a process beside it read. Prints how many there were.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from transcripts_app.importing import pipeline
from transcripts_app.importing.batch import Limits
from transcripts_app.importing.run import ImportRun
from transcripts_app.importing.writer import Writer

SMALL = Limits(chunk=20_000, block=8_000)
COMMIT_BYTES = 90_000


def main() -> None:
    archive, folder, kind, at, apart = sys.argv[1:]
    pipeline.APART_BYTES = 0 if apart == "1" else 2**60
    done = 0

    def count(*_: object) -> int:
        nonlocal done
        done += 1
        if done == int(at):
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    with Writer(Path(archive)) as writer:
        if kind == "statement":
            writer.connection.set_trace_callback(count)
        else:
            writer.connection.set_progress_handler(count, 1000)
        run = ImportRun(writer, "command", limits=SMALL, commit_bytes=COMMIT_BYTES)
        run.source_read("spark-1", Path(folder))
        run.end()
        writer.connection.set_trace_callback(None)
    print(done)


if __name__ == "__main__":
    main()
