"""What reads files: in this process, or in one of its own beside the one that writes.

    python -m transcripts_app.importing.reader

Jobs come in on standard input, messages go out on standard output, each as a length and that
many bytes of marshal: both ends are the same Python, and plain tuples cost a tenth of objects.
No Django here, no database: starting it takes a tenth of a second, and it holds little memory.
"""

from __future__ import annotations

import json
import marshal
import os
import signal
import stat
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from typing import IO, Any, NamedTuple

import zstandard

from transcripts_app.format.lines import text_clean
from transcripts_app.format.record import INDEX_MOST
from transcripts_app.importing.batch import LEVEL, Limits, Lines, fingerprint
from transcripts_app.redaction.scan import secrets_by_line

META_BYTES = 2**20
RESULT_BYTES = 32 * 2**20  # of a large output that one record holds
HEAD = 8

BEGIN, CHUNK, META, RESULT, END, ALL = range(6)
"""Messages: (BEGIN, number, rewritten), (CHUNK, number, Chunk…), (META, number, json),
(RESULT, number, blocks, length, text, fingerprint, secrets), (END, number, problem), (ALL,)."""
Message = tuple[Any, ...]


class Job(NamedTuple):
    """A file to read on."""

    number: int
    path: str
    role: str
    read_to: int
    lines: int
    bad_lines: int
    fingerprint: bytes


def jobs_read(jobs: Iterable[Job], limits: Limits) -> Iterator[Message]:
    """Read files one after the other. A file that cannot be read ends with its problem."""
    for job in jobs:
        problem = ""
        try:
            descriptor = os.open(job.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    problem = "is no file any more"
                else:
                    problem = yield from _job_read(descriptor, job, limits)
            finally:
                os.close(descriptor)
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        except MemoryError:
            problem = "takes more memory than there is"
        yield END, job.number, problem


def _job_read(descriptor: int, job: Job, limits: Limits) -> Generator[Message, None, str]:
    rewritten = bool(job.read_to) and _is_rewritten(descriptor, job)
    yield BEGIN, job.number, rewritten
    if job.role == "meta":
        return (yield from _meta(descriptor, job))
    if job.role == "result":
        yield _result(descriptor, job)
        return ""
    start, line, bad = (0, 0, 0) if rewritten else (job.read_to, job.lines, job.bad_lines)
    for chunk in Lines(descriptor, job.role, limits, bad).chunks(start, line):
        yield CHUNK, job.number, tuple(chunk)
    return ""


def _is_rewritten(descriptor: int, job: Job) -> bool:
    if job.role in ("meta", "result"):
        return True
    size = os.fstat(descriptor).st_size
    return size < job.read_to or fingerprint(descriptor, job.read_to) != job.fingerprint


def _meta(descriptor: int, job: Job) -> Generator[Message, None, str]:
    """What Claude Code notes of a sub-agent, beside its transcript."""
    try:
        told = json.loads(os.pread(descriptor, META_BYTES, 0))
    except (ValueError, RecursionError) as error:
        return f"is no JSON: {error}"[:200]
    known = {
        name: text_clean(value[:2000])
        for name, value in (told.items() if isinstance(told, dict) else ())
        if isinstance(name, str) and isinstance(value, str)
    }
    yield META, job.number, json.dumps({text_clean(name)[:100]: known[name] for name in sorted(known)})
    return ""


def _result(descriptor: int, job: Job) -> Message:
    """A large output that lies beside its session: one record, searched like a result."""
    compressor, at, text, step = zstandard.ZstdCompressor(level=LEVEL), 0, "", RESULT_BYTES
    blocks: list[tuple[int, int, bytes]] = []
    secrets: Counter[str] = Counter()
    while data := os.pread(descriptor, step, at):
        if not blocks:
            text = text_clean(data[: 4 * INDEX_MOST].decode(errors="replace"))[:INDEX_MOST]
        for found in secrets_by_line(data).values():
            secrets.update(dict(found))
        blocks.append((at, len(data), compressor.compress(data)))
        at, step = at + len(data), 4 * 2**20
    return RESULT, job.number, blocks, at, text, fingerprint(descriptor, at), tuple(sorted(secrets.items()))


def frame(value: Any) -> bytes:
    """A value as it goes through the pipe."""
    data = marshal.dumps(value)
    return len(data).to_bytes(HEAD, "big") + data


def frames(file: IO[bytes]) -> Iterator[Any]:
    """Yield what comes through the pipe; ends where it ends, a cut frame included."""
    while len(head := file.read(HEAD)) == HEAD:
        length = int.from_bytes(head, "big")
        data = file.read(length)
        if len(data) < length:
            return
        yield marshal.loads(data)  # noqa: S302 - written by the process that we started


def main() -> None:
    """Read all jobs, then answer. Ends when nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C reaches the whole group: the writer ends us
    given = frames(sys.stdin.buffer)
    limits = Limits(*next(given))
    jobs = [Job(*job) for job in next(given)]
    out = open(1, "wb", buffering=0, closefd=False)  # noqa: SIM115
    try:
        for message in jobs_read(jobs, limits):
            _write(out, frame(message))
        _write(out, frame((ALL,)))
    except BrokenPipeError:
        os._exit(1)


def _write(out: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


if __name__ == "__main__":
    main()
