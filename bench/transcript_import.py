"""Reading transcripts into the archive: how long, how much memory, how large, beside floors and peers.

    python -m bench.transcript_import [--megabytes 20] [--files 3000] [--peers VENV] [--json]

On a generated corpus whose truth is known (transcript_corpus.py). The import is the command an owner types,
in a process of its own; its memory is that of all its processes together, looked at every 50 ms. Floors, on
the same bytes: orjson reading every line, a bare FTS5 table of the same texts, ripgrep if it is installed.
Peers are claude-code-transcripts and claude-code-log, where VENV has them. `times` is against the import of
this very run. `--megabytes 500` is the real size: the targets are for two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import psutil

from bench.figures import show
from bench.transcript_corpus import corpus_make, sessions_many

TARGET_SECONDS_500 = 30
TARGET_MEMORY_MB = 300
TARGET_SIZE_PERCENT = 60
TARGET_UNCHANGED_SECONDS = 0.5
LOOK_SECONDS = 0.05
TOKENS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "web_searches", "web_fetches",
)  # fmt: skip
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--files", type=int, default=3000, help="of the archive in which nothing changed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peers", type=Path, help="a virtual environment with the peers")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="transcript-import-") as folder:
        rows = list(measure(Path(folder), options))
    show(f"Reading transcripts, {options.megabytes:g} MB", rows, options.json)


def measure(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Yield a row for each figure."""
    projects = folder / "projects"
    truth = corpus_make(projects, options.megabytes, options.seed)
    size = truth.bytes / 1e6
    archive = _archive(folder / "data")
    first = _import(folder / "data", projects)
    base = first["seconds"]
    target = TARGET_SECONDS_500 * size / 500
    yield {"what": "import, everything searchable"} | first | {
        "MB/s": size / base, "times": 1.0, "target": f"{max(target, 1):.3g} s, {TARGET_MEMORY_MB} MB"
    }  # fmt: skip
    yield {"what": "tokens and records as the corpus's truth", "told": _is_true(archive, truth)}
    share = 100 * sum(file.stat().st_size for file in archive.parent.glob("archive.sqlite3*")) / truth.bytes
    yield {"what": "archive, percent of the raw size", "told": share, "target": f"{TARGET_SIZE_PERCENT} %"}
    yield {"what": "once more, nothing changed"} | _import(folder / "data", projects)
    yield from _unchanged(folder / "many", options.files)
    for name, work in (
        ("floor: orjson reads every line", lambda: _orjson(projects)),
        ("floor: bare FTS5 of the same texts", lambda: _fts5(folder / "bare.sqlite3", _texts(archive))),
    ):
        seconds = work()
        yield {"what": name, "seconds": seconds, "MB/s": size / seconds, "times": seconds / base}
    yield from _ripgrep(projects, size, base)
    if options.peers:
        yield from _peers(folder, projects, options.peers.resolve(), size, base)


def _archive(data: Path) -> Path:
    """An empty archive in a data folder of its own."""
    data.mkdir(parents=True)
    for name in ("default", "archive"):  # prices lie in the main database
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--database", name, "-v0"], env=_env(data), check=True
        )
    return data / "archive.sqlite3"


def _env(data: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("SPARKWEB_")}
    return own | {"SPARKWEB_DATA_DIR": str(data), "SPARKWEB_LOG_LEVEL": "error"}


def _import(data: Path, projects: Path) -> Row:
    """Run the command; `in it` are the seconds between its start of reading and its end."""
    command = [sys.executable, "manage.py", "import_transcripts", "--json", str(projects)]
    row, out = _run(command, env=_env(data))
    return row | {"in it": json.loads(out)["seconds"]}


def _run(command: Sequence[str], **options: Any) -> tuple[Row, str]:
    """Seconds, processor seconds and megabytes of a command with all the processes that it starts."""
    begun, most, cpu = time.perf_counter(), 0, 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options) as process:
        family = psutil.Process(process.pid)
        while process.poll() is None:
            memory, used = _looked_at(family)
            most, cpu = max(most, memory), max(cpu, used)
            time.sleep(LOOK_SECONDS)
        seconds = time.perf_counter() - begun
        out = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return {"seconds": seconds, "cpu_seconds": cpu, "memory_MB": most / 1e6}, out


def _looked_at(family: psutil.Process) -> tuple[int, float]:
    """Memory that the processes hold now, shared pages once, and processor time used so far."""
    memory, used = 0, 0.0
    try:
        for one in (family, *family.children(recursive=True)):
            memory += one.memory_full_info().pss
            times = one.cpu_times()
            used += times.user + times.system
    except psutil.Error:
        return 0, 0.0
    return memory, used


def _is_true(archive: Path, truth: Any) -> str:
    names = ", ".join(f"SUM({name})" for name in TOKENS)
    with sqlite3.connect(archive) as connection:
        tokens = connection.execute(f"SELECT {names} FROM archive_response WHERE NOT is_synthetic").fetchone()
        records, copies = connection.execute("SELECT COUNT(*), COUNT(copy_of) FROM archive_record").fetchone()
    same = list(tokens) == truth.tokens and (records, copies) == (truth.records, truth.copies)
    return "equal" if same else f"{tokens} for {truth.tokens}, {records} for {truth.records}"


def _unchanged(folder: Path, files: int) -> Iterator[Row]:
    """So many files, of which none changed."""
    projects = folder / "projects"
    sessions_many(projects, files)
    _archive(folder / "data")
    _import(folder / "data", projects)
    rows = [_import(folder / "data", projects) for _ in range(3)]
    best = min(rows, key=lambda row: row["in it"])
    count = sum(1 for _ in projects.rglob("*.jsonl"))
    yield {
        "what": f"nothing changed in {count:,} files",
        "target": f"{TARGET_UNCHANGED_SECONDS} s in it",
    } | best


def _orjson(projects: Path) -> float:
    begun = time.perf_counter()
    for path in projects.rglob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(orjson.JSONDecodeError):  # half a pair of surrogates, say
                orjson.loads(line)
    return time.perf_counter() - begun


def _texts(archive: Path) -> list[str]:
    """The texts that the import put into its index, made anew from the raw lines."""
    from transcripts_app.importing.search_text import search_texts
    from transcripts_app.importing.writer import Writer

    with Writer(archive) as writer:
        numbers = [one for (one,) in writer.connection.execute("SELECT id FROM archive_record")]
        return [text for text, _ in search_texts(writer, numbers).values()]


def _fts5(path: Path, texts: list[str]) -> float:
    """Tuned as the import tunes its own: no merges while it lasts, one transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(
        "CREATE VIRTUAL TABLE bare USING fts5(body, content='', tokenize='unicode61 remove_diacritics 2')"
    )
    connection.executescript(
        "INSERT INTO bare(bare, rank) VALUES('automerge', 0);"
        "INSERT INTO bare(bare, rank) VALUES('hashsize', 25165824);"
    )
    begun = time.perf_counter()
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO bare (rowid, body) VALUES (?, ?)", enumerate(texts, 1))
    connection.execute("COMMIT")
    seconds = time.perf_counter() - begun
    connection.close()
    return seconds


def _ripgrep(projects: Path, size: float, base: float) -> Iterator[Row]:
    if not shutil.which("rg"):
        yield {"what": "floor: ripgrep", "told": "not installed"}
        return
    row, _ = _run(["sh", "-c", 'rg --no-ignore --count-matches basket "$1" || true', "sh", str(projects)])
    yield {"what": "floor: ripgrep looks for one word"} | row | {
        "MB/s": size / row["seconds"], "times": row["seconds"] / base
    }  # fmt: skip


def _peers(folder: Path, projects: Path, venv: Path, size: float, base: float) -> Iterator[Row]:
    """What the peers take for the same folder. Each gets a copy of its own: one of them writes beside."""
    commands: dict[str, Callable[[Path, Path], list[str]]] = {
        "claude-code-transcripts": lambda source, out: ["all", "-q", "-s", str(source), "-o", str(out)],
        "claude-code-log": lambda source, out: [str(source), "--all-projects", "-o", str(out)],
    }
    for name, arguments in commands.items():
        program = venv / "bin" / name
        if not program.exists():
            yield {"what": f"peer: {name}", "told": "not installed"}
            continue
        source, out = folder / f"{name}-projects", folder / f"{name}-out"
        shutil.copytree(projects, source)
        env = os.environ | {"HOME": str(folder / f"{name}-home")}
        Path(env["HOME"]).mkdir()
        for what in ("", ", nothing changed"):
            command = [str(program), *arguments(source, out)]
            try:
                row, _ = _run(command, env=env, stderr=subprocess.DEVNULL)
            except SystemExit as error:
                yield {"what": f"peer: {name}{what}", "told": f"{error}"}
                continue
            yield {"what": f"peer: {name}{what}"} | row | {
                "MB/s": size / row["seconds"], "times": row["seconds"] / base
            }  # fmt: skip


if __name__ == "__main__":
    main()
