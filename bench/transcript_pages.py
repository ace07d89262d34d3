"""How long the server takes for pages of transcripts, and how much it sends.

    python -m bench.transcript_pages [--records 50000] [--sessions 5000] [--folder FOLDER]

A session of 50,000 records and 100 MB is opened at its beginning, in the middle and at its end, and asked
for windows, jumps and its outline; 5,000 sessions are listed in each order. Each figure is the time from
request to the last byte inside of the server's process, median and worst of several rounds, the first one
apart, and the time that it worked itself (`cpu_ms`), which other work on the machine changes less.
Beside it the floor: the same rows by bare SQL, their blocks unpacked, nothing drawn.
Made with bench.transcript_corpus; with --folder it is kept and used again.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.figures import percentile, show

ROUNDS = 15
WINDOW = 40


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--sessions", type=int, default=5_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="transcript-pages-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkweb.settings")
    os.environ["SPARKWEB_DATA_DIR"] = str(folder / "data")
    (folder / "data").mkdir(exist_ok=True)
    os.environ["SPARKWEB_ARCHIVE"] = str(folder / "big.sqlite3")
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    # Names of static files are not looked up in a manifest, which only an installed SparkWeb has.
    settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    call_command("migrate", verbosity=0)
    client = _client()
    _archive(folder, "big", lambda where: _corpus("session_big", where, options.records))
    show("One session", _session_figures(client, folder / "big.sqlite3"), options.json)
    _archive(folder, "many", lambda where: _corpus("sessions_many", where, options.sessions))
    show("Lists", _list_figures(client, folder / "many.sqlite3"), options.json)
    if options.folder is None:
        shutil.rmtree(folder)


def _corpus(name: str, folder: Path, count: int) -> None:
    from bench import transcript_corpus

    getattr(transcript_corpus, name)(folder, count)


def _archive(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    """Read a corpus into an archive of its own, and have Django read that one; made once per folder."""
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    path = folder / f"{name}.sqlite3"
    connections["archive"].close()
    connections.databases["archive"]["NAME"] = settings.ARCHIVE_PATH = path
    del connections["archive"]
    call_command("migrate", database="archive", verbosity=0)
    connections["archive"].close()
    if not (folder / name).exists():
        make(folder / name)
    begun = time.perf_counter()
    call_command("import_transcripts", str(folder / name), verbosity=0)
    print(f"{name}: read in {time.perf_counter() - begun:.0f} s")


def _client() -> Any:
    from django.conf import settings
    from django.test import Client

    from sparkweb.accounts.models import Role, User

    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "testserver"]
    admin, _ = User.objects.get_or_create(username="bench", defaults={"role": Role.ADMIN})
    client = Client()
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")
    return client


def _session_figures(client: Any, path: Path) -> list[dict[str, Any]]:
    from transcripts_app.archive.models import Record, Session

    session = Session.objects.order_by("-records").first()
    assert session is not None
    records = Record.objects.filter(session=session)
    middle = records.filter(kind=1)[session.prompts // 2]
    windows = -(-records.filter(file__role="session").count() // WINDOW)
    print(f"one session: {session.records} records, {session.bytes / 1e6:.0f} MB, {windows} windows")
    where = f"/transcripts/sessions/{session.key}/"
    rows = [_row("floor: 40 rows by SQL, unpacked", lambda: _floor(path, middle.file_id, middle.line))]
    for name, rest in {
        "first content": "", "opened in the middle": f"?at={middle.pk}", "opened at its end": "?end=1",
        "a window": f"part/?window={windows // 2}", "nothing new": f"part/?window=9&since={_lines(session)}",
        "next prompt": f"jump/?kind=prompt&from={middle.pk}",
        "next error": f"jump/?kind=error&from={middle.pk}",
        "next changed file": f"jump/?kind=file&from={middle.pk}", "outline": "outline/",
        "outline searched": "outline/?text=test", "changed files": "outline/?tab=files",
    }.items():  # fmt: skip
        rows.append(_row(name, lambda rest=rest: client.get(where + rest).content))
    return rows


def _lines(session: Any) -> int:
    from transcripts_app.thread import lines_known

    return lines_known(session)


def _list_figures(client: Any, path: Path) -> list[dict[str, Any]]:
    from transcripts_app.archive.models import Session

    print(f"list: {Session.objects.count()} sessions")
    rows = [_row("floor: 50 newest and a count by SQL", lambda: _floor_list(path))]
    for name, rest in {
        "list": "", "page 40": "?page=40", "most tokens": "?sort=tokens", "highest cost": "?sort=cost",
        "one model": "?model=opus", "text": "?text=test", "errors": "?mark=errors",
    }.items():  # fmt: skip
        rows.append(_row(name, lambda rest=rest: client.get(f"/transcripts/{rest}").content))
    return [*rows, _row("projects", lambda: client.get("/transcripts/projects/").content)]


def _floor(path: Path, file: int, line: int) -> bytes:
    import zstandard

    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT r.*, b.data, b.length FROM archive_record r JOIN archive_rawblock b ON b.id = r.block_id "
        "WHERE r.file_id = ? AND r.line BETWEEN ? AND ? ORDER BY r.line",
        (file, line, line + WINDOW - 1),
    ).fetchall()
    blocks = {row[-2]: zstandard.decompress(row[-2], max_output_size=row[-1]) for row in rows}
    connection.close()
    return b"x" * len(blocks)


def _floor_list(path: Path) -> bytes:
    connection = sqlite3.connect(path)
    connection.execute("SELECT COUNT(*) FROM archive_session WHERE NOT is_warmup").fetchone()
    connection.execute(
        "SELECT * FROM archive_session WHERE NOT is_warmup ORDER BY started_ms DESC LIMIT 50"
    ).fetchall()
    connection.close()
    return b""


def _row(name: str, work: Callable[[], bytes]) -> dict[str, Any]:
    times, busy, answer = list[float](), list[float](), b""
    for _ in range(ROUNDS + 1):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        answer = work()
        times.append((time.perf_counter() - begun) * 1000)
        busy.append((time.process_time() - begun_cpu) * 1000)
    return {
        "what": name, "first_ms": times[0], "median_ms": percentile(times[1:], 50),
        "worst_ms": max(times[1:]), "cpu_ms": percentile(busy[1:], 50),
        "kB": len(answer) / 1000,
        "gzip_kB": len(gzip.compress(answer, 5)) / 1000,
    }  # fmt: skip


if __name__ == "__main__":
    main()
