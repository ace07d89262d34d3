"""The tool audit at one million entries: how fast it is verified, and how fast its pages are.

    python -m bench.audit [--rows 1000000] [--rounds 20] [--json]

The floor of verification is a plain SELECT of the same columns, fetched in the same batches and thrown away.
A page is asked for through the web as an admin does: the newest, a deep one, by tool, by person, by outcome,
by a word that is rare. On SQLite in a folder of its own; DATABASE_URL measures a PostgreSQL instead (its
tables of the audit must be empty).
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.figures import percentile, show
from tests.support.redis import RedisServer

TARGET_RATE = 100_000
TARGET_PAGE_MS = 60
TOOLS = ("code_execution", "bash_command", "file_analysis", "data_storage", "web_fetch", "web_search")
PEOPLE = tuple(f"person-{n}" for n in range(12))
ENDS = ("ok",) * 20 + ("exit", "wall", "memory", "refused")
INSERT = (
    "INSERT INTO sandbox_app_auditrecord (number, at, kind, run_uid, tool_name, user_label, outcome, covers, "
    "body, previous, mac) VALUES (%s, %s, %s, %s, %s, %s, %s, NULL, %s, %s, %s)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    redis = RedisServer().start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SPARKWEB_DATA_DIR"] = folder
            os.environ["SPARKWEB_LOG_LEVEL"] = "error"
            os.environ["DJANGO_SETTINGS_MODULE"] = "sparkweb.settings"
            os.environ["REDIS_URL"] = redis.url
            rows = measure(options.rows, options.rounds)
    finally:
        redis.close()
    show(f"The tool audit at {options.rows:,} entries", rows, options.json)


def measure(count: int, rounds: int) -> list[dict[str, Any]]:
    """Fill a chain; return a row for verification and one for each page."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    from sparkweb.accounts.models import Role, User

    call_command("migrate", verbosity=0)
    chain_fill(count)
    rows = verify_rows(count)
    admin = User.objects.create_user("bench", password=None, role=Role.ADMIN)
    client = Client(headers={"host": "localhost"})
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")
    return rows + [page_row(client, label, path, rounds) for label, path in pages(count).items()]


def chain_fill(count: int) -> None:
    """Append `count` entries of the size that a call of a tool leaves, as plain SQL."""
    from django.db import connection, transaction

    from sandbox_app.models_audit import AuditHead

    last = ""
    batch: list[tuple[Any, ...]] = []
    with transaction.atomic(), connection.cursor() as cursor:
        for entry in entries(count):
            batch.append(entry)
            last = entry[-1]
            if len(batch) == 20_000:
                cursor.executemany(INSERT, batch)
                batch.clear()
        cursor.executemany(INSERT, batch)
    AuditHead.objects.create(number=count, mac=last)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE sandbox_app_auditrecord")


def entries(count: int) -> Iterator[tuple[Any, ...]]:
    """Yield rows of a chain that holds: starts and ends by turns over two years."""
    from sandbox_app.audit import audit_key
    from sandbox_app.audit_chain import time_text

    chooser, key, previous = random.Random(5), audit_key(), ""
    now = datetime.now(UTC)
    pace = timedelta(days=730) / count
    code = "import pandas as pd\nframe = pd.read_csv('sales.csv')\nprint(frame.groupby('region').sum())\n"
    for number in range(1, count + 1):
        ends = number % 2 == 0
        at = time_text(now - pace * (count - number))
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        kind = "ended" if ends else "started"
        outcome = chooser.choice(ENDS) if ends else ""
        tool, person = chooser.choice(TOOLS), chooser.choice(PEOPLE)
        body = (
            '{"address":"192.168.1.20","arguments":{"code":"'
            + code.replace("\n", "\\n")
            + '"},"digest":"'
            + digest
            + '","image":"sha256:'
            + digest
            + '","limits":{"memory_bytes":268435456,"pids":64},"via":"api"}'
        )
        run = digest[:16]
        message = f"{previous}\n{number}\n{at}\n{kind}\n{run}\n{tool}\n{person}\n{outcome}\n\n{body}"
        mac = hmac.digest(key, message.encode(), "sha256").hex()
        yield (number, at, kind, run, tool, person, outcome, body, previous, mac)
        previous = mac


def verify_rows(count: int) -> list[dict[str, Any]]:
    """How long the floor and the verification take, one after the other, three times; the best counts.

    Beside the clock stands this process's own processor time, which others on the machine do not stretch.
    """
    from sandbox_app.audit_verify import chain_verify, rows_read

    def floor() -> int:
        return sum(len(batch) for batch in rows_read(0, count))

    def verify() -> int:
        verdict = chain_verify(copies=[])
        assert verdict.ok, verdict
        return verdict.rows

    taken = {"plain SELECT": [timed(floor, count)], "verify": [timed(verify, count)]}
    for _ in range(2):
        taken["plain SELECT"].append(timed(floor, count))
        taken["verify"].append(timed(verify, count))
    rows = []
    for what, times in taken.items():
        seconds, busy = min(wall for wall, _ in times), min(cpu for _, cpu in times)
        rates = {"rows_per_second": count / seconds, "rows_per_cpu_second": count / busy}
        rows.append({"what": what, "seconds": seconds, "cpu_seconds": busy, **rates})
    rows[1] |= {"target": TARGET_RATE, "times the floor": rows[1]["seconds"] / rows[0]["seconds"]}
    return rows


def timed(work: Callable[[], int], count: int) -> tuple[float, float]:
    """Seconds by the clock and of this process's processor time."""
    began, busy = time.perf_counter(), time.process_time()
    assert work() == count
    return time.perf_counter() - began, time.process_time() - busy


def pages(count: int) -> dict[str, str]:
    """Return the addresses of the pages that are measured."""
    base = "/tools/audit/"
    return {
        "page: newest": base,
        "page: in the middle": f"{base}?before={count // 2}",
        "page: one tool": f"{base}?tool=web_fetch",
        "page: one person": f"{base}?user=person-3",
        "page: failures": f"{base}?outcome=failed",
        "page: one tool's kills for memory": f"{base}?tool=data_storage&outcome=memory",
        "page: one day a year ago": f"{base}?since={datetime.now(UTC) - timedelta(days=366):%Y-%m-%d}"
        f"&until={datetime.now(UTC) - timedelta(days=365):%Y-%m-%d}",
        "page: a word that is nowhere": f"{base}?text=nowhere",
        "API: newest": "/api/tool-audit?limit=50",
    }


def page_row(client: Any, label: str, path: str, rounds: int) -> dict[str, Any]:
    """Milliseconds of one page, asked for again and again."""
    times, busy = [], []
    for number in range(rounds + 2):
        began, cpu = time.perf_counter(), time.process_time()
        answer = client.get(path)
        took, used = (time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000
        assert answer.status_code == 200, (path, answer.status_code)
        if number >= 2:
            times.append(took)
            busy.append(used)
    figures = {
        "p50_ms": percentile(times, 50),
        "p99_ms": percentile(times, 99),
        "cpu p50_ms": percentile(busy, 50),
    }
    return {"what": label, **figures, "target": TARGET_PAGE_MS}


if __name__ == "__main__":
    main()
