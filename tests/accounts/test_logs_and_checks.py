"""Logs without secrets, a level that changes at run time, start-up checks with hints, template helpers."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.template import Context, Template, TemplateSyntaxError

from sparkweb import checks, config, logs
from sparkweb.accounts.middleware import trusted_networks
from sparkweb.request_threads import RequestThreads


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., io.StringIO]]:
    """Set logs up as a process does; returns where they go."""

    def setup(process: str, **options: Any) -> io.StringIO:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        logs.logs_setup(process, **options)
        return stream

    yield setup
    monkeypatch.undo()
    logs.logs_setup()


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_never_reach_the_log(logged: Callable[..., io.StringIO], as_json: bool) -> None:
    output = logged("web", level="info", as_json=as_json)
    log = structlog.get_logger("x")
    log.info("a", password="geheim1", api_key="geheim2", Authorization="Bearer geheim3", node_token="geheim4")
    log.info("b", url="redis://user:geheim5@host/0", header="Bearer geheim6abc", key="sw_geheim7abcdefgh")
    logging.getLogger("y").warning("connect to %s", "postgresql://u:geheim8@h/d")
    said = output.getvalue()
    assert "geheim" not in said, said
    assert "host/0" in said


def test_lines_of_structlog_and_the_library_look_alike(logged: Callable[..., io.StringIO]) -> None:
    output = logged("control", level="info", as_json=True)
    structlog.get_logger("ours").info("model starts", launch="abc")
    logging.getLogger("theirs").error("it broke: %s", 7)
    ours, theirs = [json.loads(line) for line in output.getvalue().splitlines()]
    assert (ours["event"], ours["launch"], ours["process"], ours["level"]) == (
        "model starts",
        "abc",
        "control",
        "info",
    )
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("it broke: 7", "theirs", "error")


def test_level_changes_while_it_runs(logged: Callable[..., io.StringIO]) -> None:
    output = logged("web", level="warning", as_json=True)
    log = structlog.get_logger("x")
    log.info("unheard")
    logs.level_set("debug")
    log.debug("heard")
    assert logs.level_get() == "debug"
    assert [json.loads(line)["event"] for line in output.getvalue().splitlines()] == ["heard"]
    with pytest.raises(ValueError, match="'loud'"):
        logs.level_set("loud")


def test_a_starting_celery_worker_leaves_our_level() -> None:
    script = """
import structlog
from celery import Celery
from sparkweb.celery_common import logging_keep
from sparkweb.logs import logs_setup
logs_setup("control", level="info")
logging_keep()
Celery("x").log.setup("WARNING")
structlog.get_logger("sandbox_app.audit_heads").info("audit head", number=7)
import logging
logging.getLogger("celery.worker").info("Connected to redis")
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr
    assert "audit head" in said and "number=7" in said
    assert "Connected" not in said


def test_logs_need_no_django() -> None:
    code = "import sys, sparkweb.logs; sparkweb.logs.logs_setup('agent'); sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Checks --------------------------------------------------------------------------


def ids(messages: Any) -> list[str]:
    return [message.id for message in messages]


@pytest.mark.parametrize(
    ("host", "debug", "https", "found"),
    [
        ("127.0.0.1", True, False, []),
        ("localhost", False, False, []),
        ("[::1]", False, False, []),
        ("0.0.0.0", False, False, ["sparkweb.W001"]),
        ("0.0.0.0", False, True, []),
        ("spark-1.lan", True, True, ["sparkweb.E003"]),
    ],
)
def test_letting_others_in_is_checked(
    monkeypatch: pytest.MonkeyPatch, settings: Any, host: str, debug: bool, https: bool, found: list[str]
) -> None:
    monkeypatch.setattr(config, "HOST", host)
    settings.DEBUG, settings.HTTPS = debug, https
    assert ids([*checks.debug_in_public(), *checks.clear_text_in_public()]) == found


def test_what_is_missing_is_said_with_a_hint(settings: Any, tmp_path: Path) -> None:
    settings.SECRET_KEY = "short"
    settings.STATIC_ROOT = settings.ICONS_DIR = settings.DATA_DIR = tmp_path / "nowhere"
    settings.COMPAT_PORTS = ["5174", "http"]
    messages = [
        *checks.data_folder(),
        *checks.secret_key(),
        *checks.compat_ports(),
        *checks.static_files(),
        *checks.icons(),
    ]
    expected = ["sparkweb.E001", "sparkweb.E002", "sparkweb.E005", "sparkweb.E006", "sparkweb.W002"]
    assert ids(messages) == expected
    assert all(message.hint for message in messages)
    assert "short" not in messages[1].msg


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("EGRESS_PORTS", "https"),
        ("EGRESS_ALLOW", "a b"),
        ("EGRESS_DENY", "!"),
        ("EGRESS_NETWORKS", "intranet"),
    ],
)
def test_odd_egress_list_is_named(monkeypatch: pytest.MonkeyPatch, name: str, word: str) -> None:
    assert checks.egress_lists() == []
    monkeypatch.setattr(config, name, [word])
    (message,) = checks.egress_lists()
    assert message.id == "sparkweb.E008"
    assert f"SPARKWEB_{name}" in message.msg
    assert word in message.msg


def test_odd_proxy_is_named(settings: Any) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.1", "my-proxy"]
    trusted_networks.cache_clear()
    [message] = checks.proxies()
    assert "my-proxy" in message.msg
    trusted_networks.cache_clear()


# Templates -----------------------------------------------------------------------


def rendered(text: str, **context: Any) -> str:
    return Template(text).render(Context(context))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "–"), ("", "–"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 2**30, "5.0 GiB"),
     (2**60, "1024.0 PiB")],
)  # fmt: skip
def test_bytes(value: Any, expected: str) -> None:
    assert rendered("{{ value|bytes }}", value=value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "–"), (0, "0.0 s"), (0.44, "0.4 s"), (59.6, "1 min"), (125, "2 min 5 s"), (3600, "1 h"),
     (timedelta(days=3, hours=4, minutes=9), "3 d 4 h"), (-5, "0.0 s")],
)  # fmt: skip
def test_duration(value: Any, expected: str) -> None:
    assert rendered("{{ value|duration }}", value=value) == expected


def test_icon_is_inline_and_hidden_or_named() -> None:
    plain = rendered("{% icon 'cpu' %}")
    assert plain.startswith("<svg ")
    assert 'aria-hidden="true"' in plain
    named = rendered("{% icon 'cpu' css='big' label='\"Processor\" <1>' %}")
    assert 'class="icon big"' in named
    assert 'aria-label="&quot;Processor&quot; &lt;1&gt;"' in named
    with pytest.raises(TemplateSyntaxError, match="no-such-icon"):
        rendered("{% icon 'no-such-icon' %}")
    with pytest.raises(TemplateSyntaxError):
        rendered("{% icon '../../secret' %}")


# Threads -------------------------------------------------------------------------


async def test_requests_share_a_fixed_number_of_threads() -> None:
    import asyncio
    import threading

    from asgiref.sync import sync_to_async

    seen: set[str] = set()
    running, most = 0, 0

    def view() -> None:
        seen.add(threading.current_thread().name)

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await sync_to_async(view)()
        running -= 1

    threads = RequestThreads(app, threads=3)
    await asyncio.gather(*(threads({}, None, None) for _ in range(50)))  # type: ignore[arg-type]
    assert len(seen) <= 3
    assert most <= 3
