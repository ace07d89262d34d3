# ruff: noqa: E402 - Django is set up before its models are imported
"""Screenshots of every page, with made-up data, for people to look at.

    .venv/bin/python -m tests.support.screens FOLDER [NAME …]

Starts a server of its own on a scratch database; figures come from a socket
that plays tests/support/frames.py. Each picture is taken at 1440 and 390 px,
light and dark. NAMEs choose pages.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.test.testcases import LiveServerThread
from django.utils import timezone
from playwright.sync_api import Browser, Page, WebSocketRoute, sync_playwright

from metrics_app.models import FlightRecord, Node
from models_app.models import Launch, ModelDefinition, Schedule, Webhook
from models_app.weights import weights_seen
from sparkweb.accounts.models import Role
from tests.e2e.browser import CHROMIUM, FLAGS, StaticHandler, own_redis, snapshot_store
from tests.factories import (
    AttemptFactory,
    GuardianActFactory,
    LaunchFactory,
    MemberFactory,
    NodeFactory,
    UserFactory,
)
from tests.support import frames
from tests.support.alert_data import alerts_seed, energy_seed, flight_seed
from tests.support.fabric_data import fabric_report, fabric_seed
from tests.support.history_data import history_seed
from tests.support.insight_data import insight_seed
from tests.support.page_audit import audit_seed
from tests.support.page_data import seed
from tests.support.page_export import export_seed
from tests.support.page_sessions import UID as SESSION
from tests.support.page_sessions import files_played, sessions_seed
from tests.support.page_storage import storage_seed
from tests.support.page_tools import run_pages_seed, tools_seed
from tests.support.page_transcripts import transcripts_pages, transcripts_seed
from tests.support.page_usage import usage_seed
from tests.support.verdict_data import judged

SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
LOG = [
    "2026-11-23T18:00:01.123Z INFO 11-23 18:00:01 [__init__.py:216] Automatically detected platform cuda.",
    "2026-11-23T18:00:04.881Z INFO 11-23 18:00:04 [api_server.py:1839] vLLM API server version 0.11.0",
    "2026-11-23T18:00:05.002Z WARNING 11-23 18:00:05 [config.py:411] swap_space is no longer used",
    "2026-11-23T18:00:22.470Z INFO 11-23 18:00:22 [default_loader.py:268] Loading weights took 16.83 seconds",
    "2026-11-23T18:00:31.914Z INFO 11-23 18:00:31 [gpu_worker.py:298] Available KV cache memory: 21.14 GiB",
    "2026-11-23T18:00:44.100Z INFO 11-23 18:00:44 [launcher.py:42] Route: /v1/chat/completions",
    "2026-11-23T18:00:44.318Z INFO:     Application startup complete.",
]


class FakeSocket:
    """Plays one node's frames to a page, one a second."""

    def __init__(self, page: Page, nodes: dict[str, str]) -> None:
        self.nodes = nodes
        page.route_web_socket("**/ws/live/", self.opened)

    def opened(self, route: WebSocketRoute) -> None:
        route.on_message(lambda text: self.answer(route, json.loads(text)))
        now = time.time()
        listed = [{"name": name, "label": name, "status": "online"} for name in self.nodes]
        self.tell(route, {"type": "hello", "server_time": now, "session": "s", "nodes": listed})
        member = Launch.objects.filter(state="ready").first()
        uid = member.attempts.first().members.first().uid if member else None
        for name, kind in self.nodes.items():
            self.tell(route, frames.history(name, kind, now - 1))
            made = frames.report(kind, member=uid, now=now)
            told = judged(made, now=now, model="qwen3-coder-30b")
            self.tell(route, frames.snapshot(name, made, received_at=now, verdicts=told))

    def answer(self, route: WebSocketRoute, message: dict[str, Any]) -> None:
        if message["type"] == "log_open":
            many = [line for _ in range(12) for line in LOG]
            self.tell(route, {"type": "log", "member": message["member"], "offset": "1-0", "lines": many})
            self.tell(route, {"type": "log_gap", "member": message["member"], "skipped": 1204})
            self.tell(route, {"type": "log", "member": message["member"], "offset": "2-0", "lines": LOG})

    @staticmethod
    def tell(route: WebSocketRoute, frame: dict[str, Any]) -> None:
        route.send(json.dumps(frame))


def hover_chart(page: Page) -> None:
    page.locator(".tile .plot").nth(1).hover(position={"x": 120, "y": 30})


def open_memory_dialog(page: Page) -> None:
    page.locator("details.idle-models").first.evaluate("d => d.open = true")
    page.locator("[data-definition='qwen3-coder-30b'] .btn-start").click()
    page.locator("dialog[open]").wait_for()


def _read(gib: float) -> dict[str, Any]:
    shape = {"num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
             "max_position_embeddings": 65536}  # fmt: skip
    size = round(gib * 2**30)
    return {"status": "ok", "weights_bytes": size, "files": 6, "kind": "safetensors", "config": shape}


READ_WEIGHTS = {"ministral-3-14b": _read(25.9), "qwen3-coder-30b": _read(56.9)}


def memory_of(slug: str, **settings: Any) -> Callable[[Page], None]:
    """Open the memory sum of a definition with these settings: its weights were read."""

    def act(page: Page) -> None:
        row = ModelDefinition.objects.get(slug=slug)
        seen = {"engine": row.engine, "model_id": row.model_id, "answer": READ_WEIGHTS[slug]}
        weights_seen("spark-1", seen)
        ModelDefinition.objects.filter(pk=row.pk).update(settings={**row.settings, **settings})
        page.locator("details.idle-models").first.evaluate("d => d.open = true")
        page.locator(f"[data-definition='{slug}'] .link-button").click()
        page.locator("dialog[open]").wait_for()

    return act


def press_stop(page: Page) -> None:
    page.get_by_role("button", name="Stop").first.click()
    page.locator("dialog[open]").wait_for()


def open_account(page: Page) -> None:
    page.locator("[popovertarget=account]:visible").click()


def search_log(page: Page) -> None:
    page.locator("[data-log-search]").fill("weights")


def fill_import(page: Page) -> None:
    page.locator("#id_text").fill("models:\n  broken:\n    engine: vlm\n    port: 99999\n")
    page.get_by_role("button", name="Check").click()
    page.locator(".problems, #import-result .list-group").wait_for()


def check_import(page: Page) -> None:
    text = "models:\n  phi-4:\n    engine: vllm\n    port: 8300\n    model_id: microsoft/phi-4\n"
    page.locator("#id_text").fill(text)
    page.get_by_role("button", name="Check").click()
    page.locator("#import-result .btn-primary").wait_for()


def wrong_decision(page: Page) -> None:
    page.locator("#id_timeout_seconds").fill("0")
    page.get_by_role("button", name="Save").click()
    page.locator("dialog[open] [data-verb]").click()
    page.locator(".problem").wait_for()


def ended_by_guardian() -> str:
    """The address of a launch that the memory guardian ended."""
    definition = ModelDefinition.objects.get(slug="nemotron-3-nano-30b")
    launch = LaunchFactory(
        definition=definition, node=Node.objects.get(), state="failed", live=False, ended_at=timezone.now(),
        failure_code="memory_guardian",
    )  # fmt: skip
    MemberFactory(attempt=AttemptFactory(launch=launch, outcome="failed"), live=False, exit_code=137)
    launch.failure_reason = GuardianActFactory(launch=launch).sentence
    launch.save()
    return launch.get_absolute_url()  # type: ignore[no-any-return]


def adopted_launch() -> str:
    """The address of a launch whose container was started by hand."""
    definition = ModelDefinition.objects.get(slug="chandra-ocr")
    launch = LaunchFactory(
        definition=definition, node=Node.objects.get(), state="ready", ready_at=timezone.now(),
        adopted_foreign=True,
    )  # fmt: skip
    MemberFactory(
        attempt=AttemptFactory(launch=launch), container_name="ocr-by-hand", container_id="e" * 64,
        image="vllm/vllm-openai:v0.11.2",
    )  # fmt: skip
    return launch.get_absolute_url()  # type: ignore[no-any-return]


Act = Callable[[Page], None] | None


def check_change(page: Page) -> None:
    text = (
        "models:\n  qwen3-coder-30b-awq:\n    engine: vllm\n    port: 8104\n    model_id: org/new\n"
        "    settings: {max_model_len: 131072}\n"
    )
    page.locator("#id_text").fill(text)
    page.get_by_role("button", name="Check").click()
    page.locator("#import-result .btn-primary").wait_for()


def pages() -> dict[str, tuple[str, str, Act]]:
    """Return address, kind of machine, and what to do before the picture, by name."""

    def of(state: str) -> str:
        return Launch.objects.filter(state=state).first().get_absolute_url()

    slug = ModelDefinition.objects.get(slug="qwen3-coder-30b-awq").get_absolute_url()
    return {
        "dashboard": ("/", "gb10", None),
        "dashboard-hover": ("/", "gb10", hover_chart),
        "dashboard-two": ("/", "two", None),
        "dashboard-none": ("/", "none", None),
        "dashboard-nodocker": ("/", "nodocker", None),
        "memory-yes": ("/", "gb10", memory_of("ministral-3-14b", gpu_memory_utilization=0.38)),
        "memory-tight": ("/", "gb10", memory_of("ministral-3-14b", gpu_memory_utilization=0.44)),
        "memory-no": ("/", "gb10", memory_of("qwen3-coder-30b", gpu_memory_utilization=0.6)),
        "dashboard-stop": ("/", "gb10", press_stop),
        "dashboard-memory": ("/", "gb10", open_memory_dialog),
        "account": ("/", "gb10", open_account),
        "nodes": ("/nodes/", "gb10", None),
        "node": ("/nodes/spark-1/", "gb10", None),
        "verdicts": ("/nodes/spark-1/", "wedged", None),
        "energy": ("/energy/", "gb10", None),
        "usage": ("/usage/", "gb10", None),
        "usage-limits": ("/usage/limits/", "gb10", None),
        "flight": (FlightRecord.objects.get().get_absolute_url(), "gb10", None),
        "alerts": ("/alerts/", "gb10", None),
        "alert-rules": ("/alerts/rules/", "gb10", None),
        "alert-rule": ("/alerts/rules/new/", "gb10", None),
        "alert-channels": ("/alerts/channels/", "gb10", None),
        "history": ("/nodes/spark-1/history/?range=21600", "gb10", None),
        "history-day": ("/nodes/spark-1/history/?range=86400&compare=86400&tab=gpu", "gb10", None),
        "history-model": ("/nodes/spark-1/history/?range=3600&tab=model", "gb10", None),
        "tool-selftest": ("/tools/selftest/", "gb10", None),
        "tool-image": ("/tools/image/", "gb10", None),
        "tool-services": ("/tools/services/", "gb10", None),
        "storage": ("/nodes/spark-1/storage/", "gb10", None),
        "node-new": ("/node-new/", "gb10", None),
        "models": ("/models/", "gb10", None),
        "model": (slug, "gb10", None),
        "model-new": ("/models/new/", "gb10", None),
        "model-history": (f"{slug}history/", "gb10", None),
        "model-history-empty": ("/models/qwen2-vl-7b/history/", "gb10", None),
        "export": ("/models/export/choose/", "gb10", None),
        "import-changed": ("/models/import/", "gb10", check_change),
        "model-edit": (f"{slug}edit/", "gb10", None),
        "import": ("/models/import/", "gb10", check_import),
        "import-refused": ("/models/import/", "gb10", fill_import),
        "launches": ("/launches/", "gb10", None),
        "launches-nothing": ("/launches/?text=zzz", "gb10", None),
        "launch-ready": (of("ready"), "gb10", search_log),
        "launch-loading": (of("loading"), "gb10", None),
        "launch-pulling": (of("pulling"), "gb10", None),
        "launch-failed": (of("failed"), "gb10", None),
        "launch-parked": (of("parked"), "gb10", None),
        "schedules": ("/schedules/", "gb10", None),
        "schedule": (Schedule.objects.get(name="Night").get_absolute_url(), "gb10", None),
        "adopt": (f"/nodes/spark-1/adopt/{frames.SEARCH_CONTAINER[:12]}/", "gb10", None),
        "launch-adopted": (adopted_launch(), "gb10", None),
        "launch-guardian": (ended_by_guardian(), "gb10", None),
        "tools": ("/tools/", "gb10", None),
        "sessions": ("/tools/sessions/", "gb10", None),
        "session": (f"/tools/sessions/{SESSION}/", "gb10", None),
        "tool-runs": ("/tools/runs/", "gb10", None),
        "tool-audit": ("/tools/audit/", "gb10", None),
        "tool-audit-record": ("/tools/audit/8/", "gb10", None),
        "tool-audit-use": ("/tools/audit/use/", "gb10", None),
        "tool": ("/tools/code_execution/", "gb10", None),
        "tool-decisions": ("/tools/web_fetch/", "gb10", wrong_decision),
        "tool-refused": ("/tools/weather/", "gb10", None),
        "webhooks": ("/webhooks/", "gb10", None),
        "webhook": (Webhook.objects.get(name="Home Assistant").get_absolute_url(), "gb10", None),
        "audit": ("/audit/", "gb10", None),
        "api-keys": ("/account/keys/", "gb10", None),
        "password": ("/account/password/", "gb10", None),
        "not-found": ("/nowhere/", "gb10", None),
    }


def take(
    browser: Browser, base: str, cookie: str | None, folder: Path, name: str, url: str, kind: str, act: Act
) -> None:
    for size, (width, height) in SIZES.items():
        for theme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
            )
            if cookie:
                context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": base}])
            page = context.new_page()
            page.on(
                "console", lambda said: said.type in ("error", "warning") and print(f"  {name}: {said.text}")
            )
            page.on("pageerror", lambda error: print(f"  {name}: {error}"))
            FakeSocket(page, {"spark-1": kind} if kind else {})
            page.goto(base + url, wait_until="networkidle")
            page.wait_for_timeout(700)
            if act:
                act(page)
                page.wait_for_timeout(400)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                print(f"  {name} {size}: {wide} px too wide")
            page.screenshot(path=folder / f"{name}-{size}-{theme}.png", full_page=act is None)
            context.close()


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    only = sys.argv[2:]
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    settings.DATABASES["default"]["NAME"] = str(settings.DATA_DIR / "screens.sqlite3")
    settings.ARCHIVE_PATH = settings.DATA_DIR / "screens-archive.sqlite3"
    for name in settings.DATA_DIR.glob("screens-archive.sqlite3*"):
        name.unlink()
    settings.DATABASES["archive"]["NAME"] = settings.ARCHIVE_PATH
    call_command("migrate", verbosity=0)
    call_command("migrate", database="archive", verbosity=0)
    admin = UserFactory(username="admin", role=Role.ADMIN)
    redis = own_redis()
    server = LiveServerThread("127.0.0.1", StaticHandler, port=0)
    server.daemon = True
    server.start()
    server.is_ready.wait()
    base = f"http://127.0.0.1:{server.port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        empty = {
            "login": "/login/",
            "empty-dashboard": "/",
            "empty-fabric": "/fabric/",
            "empty-models": "/models/",
            "empty-launches": "/launches/",
            "empty-schedules": "/schedules/",
            "empty-tools": "/tools/",
            "empty-sessions": "/tools/sessions/",
            "empty-webhooks": "/webhooks/",
            "empty-tool-audit": "/tools/audit/",
            "empty-tool-runs": "/tools/runs/",
            "empty-transcripts": "/transcripts/",
            "empty-transcript-projects": "/transcripts/projects/",
            "empty-transcript-blame": "/transcripts/blame/",
            "empty-transcript-exports": "/transcripts/export/",
            "empty-transcript-errors": "/transcripts/errors/",
        }
        cookie = session_of(admin)
        for name, url in empty.items():
            if not only or name in only:
                take(browser, base, None if name == "login" else cookie, folder, name, url, "", None)
        if not only or "empty-storage" in only:
            lone = NodeFactory(name="spark-0")
            take(browser, base, cookie, folder, "empty-storage", "/nodes/spark-0/storage/", "", None)
            lone.delete()
        seed(timezone.now(), admin)
        alerts_seed("spark-1")
        storage_seed(timezone.now(), admin)
        tools_seed(timezone.now(), admin)
        sessions_seed(timezone.now(), admin)
        files_played(timezone.now())
        again = audit_seed(timezone.now(), admin)
        energy_seed("spark-1")
        usage_seed(admin)
        flight_seed("spark-1")
        history_seed("spark-1", now=time.time(), seconds=3 * 86400)
        snapshot_store(redis, "spark-1", frames.report(now=time.time()), time.time())
        compare = ("/tools/runs/" + again.uid + "/compare/", "gb10", None)
        runs = {name: (url, "gb10", None) for name, url in run_pages_seed(timezone.now(), admin).items()}
        keys = transcripts_seed(Path(tempfile.mkdtemp()))
        runs |= {name: (url, "gb10", None) for name, url in transcripts_pages(keys).items()}
        exports = export_seed(Path(tempfile.mkdtemp()), timezone.now(), admin)
        runs |= {name: (url, "gb10", None) for name, url in exports.items()}
        looks = insight_seed(Path(tempfile.mkdtemp()))
        runs |= {name: (url, "gb10", None) for name, url in looks.items()}
        for name, (url, kind, act) in {**pages(), "tool-run-compare": compare, **runs}.items():
            if not only or name in only:
                take(browser, base, cookie, folder, name, url, kind, act)
        if not only or "fabric" in only:
            newest = fabric_seed(timezone.now(), admin)
            for place in (1, 2):
                told = frames.report(now=time.time())
                told = {
                    **told,
                    **fabric_report(place),
                    "agent": told["agent"] | fabric_report(place)["agent"],
                }
                snapshot_store(redis, f"spark-{place}", told, time.time())
            take(browser, base, cookie, folder, "fabric", "/fabric/", "gb10", None)
            take(browser, base, cookie, folder, "fabric-test", newest.get_absolute_url(), "gb10", None)
        browser.close()
    server.terminate()
    redis.close()


def session_of(user: Any) -> str:
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


if __name__ == "__main__":
    main()
