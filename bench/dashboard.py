"""Server time of the dashboard page with 20 definitions and 10,000 launches, beside an empty house;
and how much compressed JavaScript a browser loads for it.

    python -m bench.dashboard [--rounds 100] [--json]
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.figures import percentile, show

TARGET_MS = 40
TARGET_JS_KB = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPARKWEB_DATA_DIR"] = folder
        os.environ["SPARKWEB_LOG_LEVEL"] = "error"
        os.environ["DJANGO_SETTINGS_MODULE"] = "sparkweb.settings"
        rows = measure(options.rounds)
    show("dashboard", rows, options.json)


def measure(rounds: int) -> list[dict[str, Any]]:
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    from metrics_app.models import Node
    from sparkweb.accounts.models import Role, User

    call_command("migrate", verbosity=0)
    user = User.objects.create_user("bench", password=None, role=Role.OPERATOR)
    Node.objects.create(name="spark-1", status="online")
    client = Client(headers={"host": "localhost"})
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    empty, _ = page_times(client, rounds)
    rows_make()
    full, page = page_times(client, rounds)
    js = javascript_bytes(page)
    return [
        {"what": "empty house", "p50_ms": percentile(empty, 50), "p99_ms": percentile(empty, 99)},
        {
            "what": "20 definitions, 10,000 launches",
            "p50_ms": percentile(full, 50),
            "p99_ms": percentile(full, 99),
            "ratio_to_empty": percentile(full, 50) / percentile(empty, 50),
            "target_p50_ms": TARGET_MS,
        },
        {"what": "JavaScript, gzip", "kB": js / 1000, "target_kB": TARGET_JS_KB},
    ]


def page_times(client: Any, rounds: int) -> tuple[list[float], str]:
    times, text = [], ""
    for _ in range(rounds + 5):
        began = time.perf_counter()
        answer = client.get("/")
        times.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.status_code
        text = answer.content.decode()
    return times[5:], text


def rows_make() -> None:
    """20 definitions with 500 ended launches each, and three that run."""
    from metrics_app.models import Node
    from models_app.models import Launch, LaunchAttempt, LaunchMember, ModelDefinition

    node = Node.objects.get()
    definitions = [
        ModelDefinition(slug=f"model-{i}", name=f"Model {i}", port=8100 + i, model_id="org/model", position=i)
        for i in range(20)
    ]
    ModelDefinition.objects.bulk_create(definitions)
    launches = [
        Launch(
            definition=row, definition_slug=row.slug, engine="vllm", node=node, node_name=node.name,
            live=number == 499 and row.position < 3,
            state="ready" if number == 499 and row.position < 3 else "stopped",
        )
        for number in range(500)
        for row in definitions
    ]  # fmt: skip
    Launch.objects.bulk_create(launches, batch_size=1000)
    attempts = [LaunchAttempt(launch=launch, number=1, generation=1) for launch in launches]
    LaunchAttempt.objects.bulk_create(attempts, batch_size=1000)
    LaunchMember.objects.bulk_create(
        [
            LaunchMember(
                attempt=attempt, node=node, port=attempt.launch.definition.port, live=attempt.launch.live,
                container_name=f"sparkweb-{attempt.launch.uid}", image="vllm/vllm-openai:v0.11",
            )
            for attempt in attempts
        ],
        batch_size=1000,
    )  # fmt: skip


def javascript_bytes(page: str) -> int:
    """Gzip size of each script that the page names and of the modules that those import."""
    from django.contrib.staticfiles import finders

    queue = [
        src.split("?")[0] for src in re.findall(r'<(?:script|link)[^>]+(?:src|href)="([^"]+\.js)"', page)
    ]
    seen: dict[str, int] = {}
    while queue:
        url = queue.pop()
        name = re.sub(r"\.[0-9a-f]{12}\.js$", ".js", url.removeprefix("/static/"))
        path = finders.find(name)
        if name in seen or path is None:
            continue
        text = Path(path).read_bytes()
        seen[name] = len(gzip.compress(text, 6))
        folder = "/static/" + name.rpartition("/")[0] + "/"
        imports = re.findall(rb'(?:from|import)\s*\(?"([^"]+\.js)"', text)
        queue += [os.path.normpath(folder + target.decode()) for target in imports]
    return sum(seen.values())


if __name__ == "__main__":
    main()
