"""Charts of any range over two years of history of four nodes: server time, points sent, and what it stores.

    python -m bench.history [--rounds 30] [--json]

A chart is one request of the history page: eight lines of one node, 2,000 points at most, through the
API with a session, on SQLite. The floor is reading the same rows with plain SQL. Storage is that of all
tiers after a year of 120 series, and after a year of a node with 8 GPUs and 30 containers.

Figures are made up of what machines tell: walks, bursts, steps, counts and what hardly ever moves. Three
different chunks for each tier are made and stored again and again: their bytes are what counts here.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from bench.figures import percentile, show
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    from metrics_app.history.packing import Chunk
    from metrics_app.history.tiers import Tier

TARGET_MS = 100
TARGET_POINTS = 2_000
TARGET_MB = 60
SERIES = 120
NODES = ("spark-1", "spark-2", "spark-3", "spark-4")
HOUR, DAY, YEAR = 3_600, 86_400, 365 * 86_400
RANGES = {
    "10 minutes": HOUR // 6, "an hour": HOUR, "6 hours": 6 * HOUR, "a day": DAY, "a week": 7 * DAY,
    "30 days": 30 * DAY, "a year": YEAR, "two years": 2 * YEAR,
}  # fmt: skip
LINES = 8
DIFFERENT_CHUNKS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    redis = RedisServer().start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SPARKWEB_DATA_DIR"] = folder
            os.environ["SPARKWEB_LOG_LEVEL"] = "error"
            os.environ["DJANGO_SETTINGS_MODULE"] = "sparkweb.settings"
            os.environ["REDIS_URL"] = redis.url
            os.environ.pop("DATABASE_URL", None)
            rows = measure(options.rounds)
    finally:
        redis.close()
    show("Charts of two years of four nodes", rows, options.json)


def measure(rounds: int) -> list[dict[str, Any]]:
    """Fill a database; return a row for each range, one for all, and the storage."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    from metrics_app.models import Node
    from sparkweb.accounts.models import Role, User

    call_command("migrate", verbosity=0)
    user = User.objects.create_user("bench", password=None, role=Role.VIEWER)
    client = Client(headers={"host": "localhost"})
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    for name in NODES:
        Node.objects.create(name=name, status="online")
    now = time.time()
    yearly = house_fill(now)
    rows, everything, floors, most = [], [], [], 0
    for label, span in RANGES.items():
        times, plain, points = range_times(client, now, span, rounds)
        everything, floors, most = everything + times, floors + plain, max(most, points)
        rows.append(_row(label, times, plain, points))
    rows.append(_row("all", everything, floors, most) | {"target_p99_ms": TARGET_MS})
    return [*rows, *yearly]


def _row(label: str, times: list[float], floors: list[float], points: int) -> dict[str, Any]:
    return {
        "what": label,
        "p50_ms": percentile(times, 50),
        "p99_ms": percentile(times, 99),
        "plain SQL p50_ms": percentile(floors, 50),
        "ratio_p50": percentile(times, 50) / percentile(floors, 50),
        "points": points,
    }


# Asking --------------------------------------------------------------------------


def range_times(client: Any, now: float, span: int, rounds: int) -> tuple[list[float], list[float], int]:
    """Milliseconds of each chart of a range, of plain SQL beside it, and the most points of a line."""
    chooser, keys = random.Random(span), series_keys(SERIES)
    times, floors, most = [], [], 0
    for number in range(rounds + 2):
        node, lines = chooser.choice(NODES), chooser.sample(keys, LINES)
        # Every third ends now; the others somewhere in two years.
        end = now if number % 3 == 0 else now - chooser.uniform(0, max(0, 2 * YEAR - span))
        asked = {"series": lines, "start": end - span, "end": end, "points": TARGET_POINTS}
        began = time.perf_counter()
        answer = client.get(f"/api/nodes/{node}/samples", asked)
        took = (time.perf_counter() - began) * 1000
        assert answer.status_code == 200, answer.content
        plain = plain_sql(node, now, end - span, end)
        if number >= 2:
            times.append(took)
            floors.append(plain)
        most = max(most, len(answer.json()["t"]))
    return times, floors, most


def plain_sql(node: str, now: float, start: float, end: float) -> float:
    """Milliseconds to fetch the rows that this chart is made of."""
    from django.conf import settings
    from django.db import connection

    from metrics_app.history.tiers import tier_for

    tier = tier_for(settings.HISTORY_TIERS, start=start, end=end, now=now, points=TARGET_POINTS)
    began = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT start, data FROM metrics_app_samplechunk"
            " WHERE node_name = %s AND tier = %s AND start > %s AND start < %s ORDER BY start",
            [node, tier.number, start - tier.period, end],
        )
        cursor.fetchall()
    return (time.perf_counter() - began) * 1000


# Filling -------------------------------------------------------------------------


def house_fill(now: float) -> list[dict[str, Any]]:
    """Store two years of each node; return the rows about storage."""
    from django.conf import settings

    from metrics_app.models import SampleChunk

    sizes: dict[str, dict[int, float]] = {"small": {}, "large": {}}
    for tier in settings.HISTORY_TIERS:
        packed = chunks_packed(tier, series_keys(SERIES))
        sizes["small"][tier.number] = sum(map(len, packed)) / len(packed)
        large = chunks_packed(tier, large_keys(tier.containers))
        sizes["large"][tier.number] = sum(map(len, large)) / len(large)
        first = tier.start_of(now - min(tier.keep, 2 * YEAR))
        starts = range(first, int(now), tier.period)
        SampleChunk.objects.bulk_create(
            [
                SampleChunk(
                    node_name=name, tier=tier.number, start=start, end=start + tier.period,
                    data=packed[place % DIFFERENT_CHUNKS],
                )
                for name in NODES
                for place, start in enumerate(starts)
            ],
            batch_size=100,
        )  # fmt: skip
    overhead = _file_bytes() / sum(len(data) for data in SampleChunk.objects.values_list("data", flat=True))
    return [
        {
            "what": f"storage a node and year, {len(keys)} series{words}",
            "MB": overhead * year_bytes(sizes[size]) / 1e6,
            **({"target_MB": TARGET_MB} if size == "small" else {}),
        }
        for size, keys, words in (
            ("small", series_keys(SERIES), ""),
            ("large", large_keys(None), " (8 GPUs, 30 containers)"),
        )
    ]


def year_bytes(sizes: dict[int, float]) -> float:
    """What a node's chunks weigh after a year; `sizes` is the bytes of one chunk by tier."""
    from django.conf import settings

    return sum(min(tier.keep, YEAR) / tier.period * sizes[tier.number] for tier in settings.HISTORY_TIERS)


def _file_bytes() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        return int(cursor.fetchone()[0])


def series_keys(count: int) -> list[str]:
    """So many keys of a node with two GPUs, 24 containers and four models."""
    return _keys(gpus=2, containers=24, models=4, disks=5, networks=4)[:count]


def large_keys(containers: int | None) -> list[str]:
    """The keys of a node with 8 GPUs and 30 containers, of which a tier may keep but the largest."""
    return _keys(gpus=8, containers=min(30, containers or 30), models=4, disks=8, networks=8)


def _keys(*, gpus: int, containers: int, models: int, disks: int, networks: int) -> list[str]:
    from metrics_app.history.figures import METRICS, key_make

    subjects: dict[str, list[Any]] = {
        "host": [""], "agent": [""], "gpu": list(range(gpus)),
        "disk": [f"/data/{number}" for number in range(disks)],
        "network": [f"enp{number}s0" for number in range(networks)],
        "container": [f"sparkweb-model-{number}" for number in range(containers)],
        "model": [f"qwen3-coder-{number}" for number in range(models)],
    }  # fmt: skip
    return [
        key_make(name, subject)
        for name, metric in METRICS.items()
        for subject in subjects.get(metric.scope, [""])
    ]


def chunks_packed(tier: Tier, keys: list[str]) -> list[bytes]:
    """Different full chunks of a tier with these series, as they are stored."""
    from metrics_app.history.packing import chunk_pack

    return [chunk_pack(chunk_made(tier, keys, seed)) for seed in range(DIFFERENT_CHUNKS)]


def chunk_made(tier: Tier, keys: list[str], seed: int) -> Chunk:
    """A chunk without gaps. Each series is of one kind, by its place among the keys."""
    from metrics_app.history.packing import Chunk, column_empty

    chunk = Chunk(tier.slots, tier.folds)
    for place, key in enumerate(keys):
        chooser = random.Random(f"{seed} {key}")
        column = chunk.columns[key] = column_empty(tier.slots, tier.folds)
        values = KINDS[place % len(KINDS)](chooser)
        for slot in range(tier.slots):
            if not tier.folds:
                column.mean[slot] = next(values)
                continue
            seen = [next(values) for _ in range(4)]
            column.mean[slot], column.low[slot], column.high[slot] = sum(seen) / 4, min(seen), max(seen)
    return chunk


def _walk(chooser: random.Random) -> Iterator[float]:
    value = chooser.uniform(10, 90)
    while True:
        value = min(100.0, max(0.0, value + chooser.gauss(0, 2)))
        yield round(value, 1)


def _bursts(chooser: random.Random) -> Iterator[float]:
    while True:
        yield chooser.expovariate(1e-6) if chooser.random() < 0.5 else 0.0


def _bytes_held(chooser: random.Random) -> Iterator[float]:
    value = chooser.uniform(1, 100) * 2**30
    while True:
        value = max(0.0, value + chooser.gauss(0, 2**22))
        yield float(int(value))


def _steps(chooser: random.Random) -> Iterator[float]:
    value = 0.0
    while True:
        value = float(chooser.randint(0, 8)) if chooser.random() < 0.02 else value
        yield value


def _still(chooser: random.Random) -> Iterator[float]:
    value = float(chooser.randint(1, 2**40))
    while True:
        yield value


KINDS: tuple[Callable[[random.Random], Iterator[float]], ...] = (_walk, _bursts, _bytes_held, _steps, _still)


if __name__ == "__main__":
    main()
