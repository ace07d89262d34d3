"""Figures of transcripts over thousands of sessions: server time of each answer of the API.

    python -m bench.transcript_figures [--sessions 5000] [--rounds 20] [--folder FOLDER] [--json]

Sessions are written by bench.transcript_corpus and read into an archive of their own first. With FOLDER,
archive and database stay there, and a second run measures them again. `cpu` is what this process
spent, whatever else the machine did.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.figures import percentile, show
from bench.transcript_corpus import sessions_many
from tests.support.redis import RedisServer

ASKED = {
    "by day": {"by": "day"}, "by project": {"by": "project"}, "by model": {"by": "model"},
    "by branch": {"by": "branch"}, "by user": {"by": "user"}, "by tool": {"by": "tool"},
    "30 days, by day": {"by": "day", "since": "2026-10-01", "until": "2026-10-30"},
    "one model, by project": {"by": "project", "model": "claude-sonnet-4-5-20250929"},
    "one tool, by day": {"by": "day", "tool": "Edit"},
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    redis = RedisServer().start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            place = options.folder or Path(folder)
            os.environ["SPARKWEB_DATA_DIR"] = str(place / "data")
            os.environ["SPARKWEB_LOG_LEVEL"] = "error"
            os.environ["SPARKWEB_API_RATE"] = "100000/min"
            os.environ["DJANGO_SETTINGS_MODULE"] = "sparkweb.settings"
            os.environ["REDIS_URL"] = redis.url
            os.environ.pop("DATABASE_URL", None)
            rows = measure(place, options.sessions, options.rounds)
    finally:
        redis.close()
    show(f"Figures over {options.sessions} sessions", rows, options.json)


def measure(place: Path, sessions: int, rounds: int) -> list[dict[str, Any]]:
    """Make the archive where there is none; return a row for each question."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    from sparkweb.accounts.models import Role, User
    from transcripts_app.archive.models import Session

    call_command("migrate", verbosity=0)
    call_command("migrate", database="archive", verbosity=0)
    if not Session.objects.exists():
        sessions_many(place / "projects", sessions)
        call_command("import_transcripts", str(place / "projects"))
    user, _ = User.objects.get_or_create(username="bench", defaults={"role": Role.ADMIN})
    client = Client(headers={"host": "localhost"})
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return [_row(name, lambda asked=asked: _ask(client, asked), rounds) for name, asked in ASKED.items()]


def _ask(client: Any, asked: dict[str, str]) -> None:
    answer = client.get("/api/transcripts/figures", asked)
    assert answer.status_code == 200, answer.content


def _row(what: str, ask: Callable[[], None], rounds: int) -> dict[str, Any]:
    ask()
    took, spent = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        ask()
        took.append((time.perf_counter() - wall) * 1000)
        spent.append((time.process_time() - cpu) * 1000)
    return {
        "what": what,
        "p50_ms": percentile(took, 50),
        "p99_ms": percentile(took, 99),
        "cpu p50_ms": percentile(spent, 50),
    }


if __name__ == "__main__":
    main()
