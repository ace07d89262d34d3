"""What engines say of their work: answers as real ones give them, odd ones, and endpoints that hang."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from models_app.engines.spec import ProbeSpec
from models_app.node import engine_watch
from models_app.node.engine_figures import Reading, engine_json, rates_between, reading_of
from models_app.node.engine_watch import EngineWatch, Watched, figures_path
from models_app.node.prometheus import LINES_MOST, SAMPLES_MOST, samples_parse
from sparkweb.adapters import engine_http
from tests.support.stack import wait_for

VLLM_OLD = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="qwen3"} 2.0
vllm:num_requests_waiting{engine="0",model_name="qwen3"} 1.0
vllm:gpu_cache_usage_perc{engine="0",model_name="qwen3"} 0.1234
vllm:prompt_tokens_total{engine="0",model_name="qwen3"} 8128.0
vllm:generation_tokens_total{engine="0",model_name="qwen3"} 7557.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="qwen3"} 0.0
"""
VLLM_NEW = (
    VLLM_OLD.replace(b"gpu_cache_usage_perc", b"kv_cache_usage_perc")
    + b'vllm:num_requests_waiting_by_reason{engine="0",model_name="qwen3",reason="capacity"} 1.0\n'
    + b'vllm:num_requests_running{engine="1",model_name="qwen3"} 3.0\n'
    + b'vllm:kv_cache_usage_perc{engine="1",model_name="qwen3"} 0.5\n'
)
SGLANG = b"""sglang:prompt_tokens_total{model_name="llama"} 8.128902e+06
sglang:generation_tokens_total{model_name="llama"} 7.557572e+06
sglang:token_usage{model_name="llama",tp_rank="0"} 0.28
sglang:num_running_reqs{model_name="llama",tp_rank="0"} 161.0
sglang:num_running_reqs{model_name="llama",tp_rank="1"} 161.0
sglang:num_queue_reqs{model_name="llama"} 4.0
sglang:gen_throughput{model_name="llama"} 86.5
"""
LLAMACPP = b"""# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 33065
llamacpp:tokens_predicted_total 7801
llamacpp:n_decode_total 8012
llamacpp:requests_processing 1
llamacpp:requests_deferred 0
"""
NIM = b"""gpu_cache_usage_perc{model_name="m"} 0.05
num_requests_running{model_name="m"} 1.0
num_requests_waiting{model_name="m"} 0.0
prompt_tokens_total{model_name="m"} 40.0
generation_tokens_total{model_name="m"} 12.0
"""
TRTLLM = json.dumps(
    [{"iter": 1, "numActiveRequests": 9, "numQueuedRequests": 9},
     {"iter": 154, "numActiveRequests": 1, "numQueuedRequests": 2,
      "kvCacheStats": {"maxNumBlocks": 200, "usedNumBlocks": 3}}]
).encode()  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("openai", VLLM_OLD, (2, 1, 8128, 7557, 12.3, None)),
        ("openai", VLLM_NEW, (5, 1, 8128, 7557, 50.0, None)),
        ("openai", SGLANG, (161, 4, 8128902, 7557572, 28.0, None)),
        ("openai", LLAMACPP, (1, 0, 33065, 7801, None, None)),
        ("http", NIM, (1, 0, 40, 12, 5.0, None)),
        ("openai", TRTLLM, (1, 2, None, None, 1.5, None)),
        (
            "ollama",
            b'{"models":[{"name":"qwen3:latest","size_vram":5}]}',
            (None, None, None, None, None, True),
        ),
        ("ollama", b'{"models":[]}', (None, None, None, None, None, False)),
    ],
)
def test_every_engine_in_the_same_words(kind: str, body: bytes, expected: tuple[Any, ...]) -> None:
    reading = reading_of(kind, "qwen3", body)
    assert reading
    names = ("requests_running", "requests_waiting", "prompt_tokens_total", "generation_tokens_total",
             "kv_cache_percent", "loaded")  # fmt: skip
    shown = engine_json(reading, {}, stale=False)
    assert tuple(shown[name] for name in names) == expected
    assert set(shown["why"]) == {name for name, value in shown.items() if value is None}
    assert set(shown["why"].values()) <= {"unsupported"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("openai", b""),
        ("openai", b"<html>not found</html>"),
        ("openai", b"[]"),
        ("openai", b"[1, 2"),
        ("openai", b'[{"numActiveRequests": "many"}]'),
        ("openai", b"\xff\x00\xfe" * 1000),
        ("openai", b'vllm:num_requests_running{engine="0" 2.0\n'),
        ("openai", b"vllm:num_requests_running NaN\nvllm:num_requests_waiting +Inf\n"),
        ("ollama", b'{"models": 5}'),
        ("ollama", b"[]"),
    ],
)
def test_what_is_no_answer_is_none(kind: str, body: bytes) -> None:
    assert reading_of(kind, "qwen3", body) is None


def test_the_parser_is_bounded() -> None:
    names = {"a"}
    assert len(samples_parse(b"a 1\n" * 3_000, names)) == SAMPLES_MOST
    assert samples_parse(b"b 1\n" * LINES_MOST + b"a 1\n", names) == []
    assert samples_parse(b'a{x="' + b"y" * 5_000 + b'"} 1\n', names) == []
    assert samples_parse(b'a{x="}",y="\\""} 3 1700000000\n', names)[0].value == 3


def test_labels_with_odd_characters_are_kept_as_they_stand() -> None:
    (sample,) = samples_parse(b'a{model_name="a,b} c",tp_rank="1"} 2\n', {"a"})
    assert sample.labels == {"model_name": "a,b} c", "tp_rank": "1"}


def test_tokens_a_second_between_two_readings() -> None:
    before = Reading({"prompt_tokens_total": 100, "generation_tokens_total": 50})
    after = Reading({"prompt_tokens_total": 100, "generation_tokens_total": 275})
    assert rates_between(before, after, 5.0) == {
        "prompt_tokens_per_second": 0.0,
        "generation_tokens_per_second": 45.0,
    }
    restarted = Reading({"prompt_tokens_total": 3, "generation_tokens_total": 1})
    assert set(rates_between(after, restarted, 5.0).values()) == {None}


def test_old_readings_are_stale() -> None:
    watched = Watched()
    assert watched.to_json(0) is None
    watched.take(reading_of("openai", "m", LLAMACPP), 100.0)
    watched.take(None, 105.0)  # an answer without figures: what was read goes stale
    fresh = watched.to_json(110.0)
    assert fresh and fresh["requests_running"] == 1
    old = watched.to_json(100.0 + engine_watch.STALE_SECONDS + 1)
    assert old and old["requests_running"] is None and set(old["why"].values()) == {"stale"}


def test_an_engine_without_figures_is_unsupported_not_stale() -> None:
    watched = Watched()
    watched.take(None, 100.0)
    shown = watched.to_json(10_000.0)
    assert shown and set(shown["why"].values()) == {"unsupported"}


def test_where_each_engine_tells_it() -> None:
    assert figures_path(ProbeSpec("openai", 1)) == "/metrics"
    assert figures_path(ProbeSpec("ollama", 1, "/api/tags")) == "/api/ps"
    assert figures_path(ProbeSpec("http", 1, "/v1/health/ready")) == "/v1/metrics"


# Over HTTP: good, slow, hanging ----------------------------------------------------


class Server:
    """Answers GET with `answer(path)`; `hang` never answers, `drip` sends a byte now and then."""

    def __init__(self) -> None:
        self.release = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_words: Any) -> None:
                pass

        self.answer: Callable[[Any], None] = lambda handler: None
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def says(self, body: bytes, status: int = 200) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.end_headers()
            handler.wfile.write(body)

        self.answer = answer

    def hang(self) -> None:
        self.answer = lambda handler: self.release.wait(120)

    def drip(self) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            while not self.release.wait(0.05):
                handler.wfile.write(b"x")

        self.answer = answer

    def close(self) -> None:
        self.release.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def servers() -> Iterator[Callable[[], Server]]:
    made: list[Server] = []

    def make() -> Server:
        made.append(Server())
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_question_has_one_limit_in_all(servers: Callable[[], Server], how: str) -> None:
    server = servers()
    getattr(server, how)()
    with pytest.raises(TimeoutError):
        engine_http.ask("127.0.0.1", server.port, "/metrics", 0.3)


def test_nobody_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            engine_http.ask("127.0.0.1", held.getsockname()[1], "/metrics", 5)


def test_a_hanging_engine_holds_up_no_other(
    servers: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_watch, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(engine_watch, "EVERY_SECONDS", 0.05)
    good, bad, bare = servers(), servers(), servers()
    good.says(VLLM_OLD)
    bad.hang()
    bare.says(b"", 404)
    asked = {
        name: ProbeSpec("openai", one.port) for name, one in [("good", good), ("bad", bad), ("bare", bare)]
    }
    watch = EngineWatch(lambda: dict(asked), lambda _: None, 60.0)
    watch.start()
    try:
        wait_for(lambda: (watch.entry("good") or {}).get("requests_running") == 2, "the good one is read", 60)
        wait_for(lambda: watch.entry("bare"), "the bare one is asked", 60)
        assert watch.entry("bad") is None
        bare_says = watch.entry("bare")
        assert bare_says and bare_says["why"]["requests_running"] == "unsupported"
        good.says(VLLM_OLD.replace(b'running{engine="0",model_name="qwen3"} 2.0', b"running 7"))
        wait_for(lambda: (watch.entry("good") or {}).get("requests_running") == 7, "and again", 60)
        del asked["good"]
        wait_for(lambda: watch.entry("good") is None, "who is gone is forgotten", 60)
    finally:
        watch.close()
