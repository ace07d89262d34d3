"""`manage.py top`: figures in a terminal, unknown ones as unknown, nothing that could steer it."""

from __future__ import annotations

import re
import time
from io import StringIO
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command

from metrics_app.selectors import snapshot_key
from metrics_app.terminal import cut, screen
from sparkweb.shared_streams import shared_streams
from tests.factories import NodeFactory
from tests.support import frames


def plain(lines: list[str]) -> str:
    return re.sub(r"\x1b\[\d+m", "", "\n".join(lines))


def node(report: dict[str, Any] | None, status: str = "online") -> dict[str, Any]:
    return {"name": "spark-1", "status": status, "report": report, "age_seconds": 7.0}


def test_a_spark() -> None:
    shown = plain(screen([node(frames.report(now=0.0))], width=160, height=50))
    assert re.search(r"GPU 0 .* 71 %.*46\.2 GiB held", shown)
    assert "available" in shown


def test_what_is_unknown_is_a_dash_and_a_lost_gpu_is_said() -> None:
    gpus = [frames.gpu(utilization_percent=None, power_watts=None), frames.gpu(1, state="lost")]
    shown = plain(screen([node({"gpus": gpus, "gpu": {"status": "ok"}})], width=160, height=50))
    assert re.search(r"GPU 0 +·+ –", shown)
    assert "GPU 1   lost" in shown
    assert "Memory" in shown


@pytest.mark.parametrize(("status", "words"), [("offline", "7 s old"), ("stale", "7 s old")])
def test_old_figures_say_so(status: str, words: str) -> None:
    assert words in plain(screen([node(frames.report(now=0.0), status)], width=120, height=50))


def test_names_cannot_steer_the_terminal() -> None:
    containers = [{"name": "evil\x1b[2J\x07\x9b1A", "image": "i\n\r", "state": "running", "memory_bytes": 1}]
    shown = plain(screen([node({"containers": containers})], width=120, height=50))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown)


def test_it_fits_the_screen() -> None:
    lines = screen([node(frames.report("two", now=0.0))] * 9, width=60, height=20)
    assert len(lines) <= 19
    assert all(len(plain([line])) <= 60 for line in lines)
    assert "more lines" in lines[-1]
    assert plain([cut("\x1b[1mabcdef\x1b[0m", 4)]) == "abc…"
    assert screen([], width=60, height=20) == ["There is no node yet."]


def test_the_command_prints_once_where_there_is_no_terminal(db: None, redis_url: str, settings: Any) -> None:
    settings.REDIS_URL = redis_url
    shared_streams.cache_clear()
    NodeFactory(name="spark-1", status="online")
    NodeFactory(name="spark-2")
    stored = {"report": frames.report(now=time.time()), "received_at": time.time()}
    shared_streams().put(snapshot_key("spark-1"), orjson.dumps(stored), 60)
    out = StringIO()
    call_command("top", stdout=out)
    assert "71 %" in out.getvalue()
    assert "no report within the hour" in out.getvalue()
    with pytest.raises(CommandError, match="no node 'spark-9'; there are spark-1, spark-2"):
        call_command("top", "spark-9")
    shared_streams.cache_clear()
