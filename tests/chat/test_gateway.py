"""The door to models, as clients see it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx2 as httpx
import pytest
from django.utils import timezone

from chat_app.gateway import app as gateway_app
from chat_app.gateway import keys as gateway_keys
from chat_app.gateway import requests as gateway_requests
from chat_app.models import UsageOutcome, UsageRecord
from models_app.models import Launch, LaunchState
from sparkweb.accounts.models import ApiKey, User
from tests.chat.conftest import ReadyMake
from tests.factories import AttemptFactory, LaunchFactory, MemberFactory, NodeFactory
from tests.support.gateway import RunningGateway
from tests.support.ports import free_port
from tests.support.site import Reply, Site, site_run
from tests.support.stack import wait_for

CHAT = "/v1/chat/completions"
BODY = {"model": "qwen", "messages": [{"role": "user", "content": "Hello"}]}
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}


def _answer(**more: Any) -> Reply:
    told = {"id": "1", "choices": [{"message": {"content": "Hi"}}], "usage": USAGE} | more
    return Reply(body=json.dumps(told).encode(), headers={"Content-Type": "application/json"})


def _chunk(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


class Stream:
    """A page that streams: each of `pieces` is sent when `step` is set, or at once; then it closes."""

    def __init__(self, *pieces: bytes, wait: bool = False, cut: bool = False) -> None:
        self.pieces, self.wait, self.cut = pieces, wait, cut
        self.step, self.gone, self.begun = threading.Semaphore(0), threading.Event(), threading.Event()

    def __call__(self, handler: Any) -> None:
        handler.send_response_only(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.flush()
        self.begun.set()
        for piece in self.pieces:
            if self.wait:
                self.step.acquire(timeout=60)
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if not self.cut:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True


def _hangs_until_gone(begun: threading.Event, gone: threading.Event) -> Callable[[Any], None]:
    """A page that answers nothing; `gone` is set once its client has closed."""

    def page(handler: Any) -> None:
        begun.set()
        handler.connection.settimeout(60)
        try:
            if handler.connection.recv(1) == b"":
                gone.set()
        except OSError:
            gone.set()
        handler.close_connection = True

    return page


@pytest.fixture
def client(gateway: RunningGateway, key: str) -> Iterator[httpx.Client]:
    base = gateway.url.removesuffix("/v1")
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=60) as one:
        yield one


def _one_entry() -> UsageRecord:
    wait_for(lambda: UsageRecord.objects.exists(), "an entry in the ledger")
    return UsageRecord.objects.get()


def test_an_answer_goes_through_as_it_is_and_is_metered(
    client: httpx.Client, ready: ReadyMake, engine: Site, operator: User
) -> None:
    launch = ready()
    engine.pages[CHAT] = _answer()
    data = b'{"model":  "qwen", "messages": [], "temperature": 1.50, "strange": {"a": 1}}'
    answer = client.post(CHAT, content=data)
    assert answer.status_code == 200
    assert answer.content == _answer().body
    assert engine.asked[0].body == data
    assert "authorization" not in {name.lower() for name in engine.asked[0].headers}
    entry = _one_entry()
    assert (entry.user, entry.model, entry.launch_uid) == (operator, "qwen", launch.uid)
    assert (entry.input_tokens, entry.output_tokens, entry.cached_tokens) == (11, 7, 4)
    assert (entry.outcome, entry.status, entry.endpoint) == (UsageOutcome.OK, 200, "chat/completions")


def test_an_engines_own_name_replaces_the_alias(client: httpx.Client, ready: ReadyMake, engine: Site) -> None:
    ready(served="org/Qwen:7b")
    engine.pages["/v1/embeddings"] = _answer()
    client.post("/v1/embeddings", json={"model": "qwen", "input": "x"})
    assert json.loads(engine.asked[0].body) == {"model": "org/Qwen:7b", "input": "x"}


def test_a_stream_is_passed_on_and_our_usage_chunk_is_not(
    client: httpx.Client, ready: ReadyMake, engine: Site
) -> None:
    ready()
    first = _chunk(choices=[{"delta": {"content": "Hel"}}])
    second = _chunk(choices=[{"delta": {"content": "lo"}, "finish_reason": "stop"}])
    usage, done = _chunk(choices=[], usage=USAGE), b"data: [DONE]\n\n"
    engine.pages[CHAT] = Stream(first, second[:9], second[9:], usage, done)
    answer = client.post(CHAT, json=BODY | {"stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [line for line in answer.content.split(b"\n") if line] == [
        line for line in (first + second + done).split(b"\n") if line
    ]
    assert json.loads(engine.asked[0].body)["stream_options"] == {"include_usage": True}
    assert _one_entry().output_tokens == 7


def test_a_client_that_asks_for_usage_gets_it(client: httpx.Client, ready: ReadyMake, engine: Site) -> None:
    ready()
    sent = (
        _chunk(choices=[{"delta": {"content": "x"}}]) + _chunk(choices=[], usage=USAGE) + b"data: [DONE]\n\n"
    )
    engine.pages[CHAT] = Stream(sent)
    answer = client.post(CHAT, json=BODY | {"stream": True, "stream_options": {"include_usage": True}})
    assert answer.content == sent


def test_each_piece_is_passed_on_when_it_comes(client: httpx.Client, ready: ReadyMake, engine: Site) -> None:
    ready()
    pieces = [_chunk(choices=[{"delta": {"content": str(number)}}]) for number in range(3)]
    engine.pages[CHAT] = page = Stream(*pieces, wait=True)
    with client.stream("POST", CHAT, json=BODY | {"stream": True}) as answer:
        got = answer.iter_raw()
        for piece in pieces:
            page.step.release()
            assert next(got).strip() == piece.strip()


def test_an_engine_that_breaks_off_yields_an_error_and_no_end(
    client: httpx.Client, ready: ReadyMake, engine: Site
) -> None:
    ready()
    seen = threading.Event()

    def page(handler: Any) -> None:
        Stream(_chunk(choices=[{"delta": {"content": "Hel"}}]), cut=True)(handler)
        seen.wait(60)

    engine.pages[CHAT] = page
    with client.stream("POST", CHAT, json=BODY | {"stream": True}) as answer:
        got = answer.iter_raw()
        text = next(got)
        seen.set()
        text += b"".join(got)
    last = [line for line in text.split(b"\n") if line][-1]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "engine_lost"
    assert b"[DONE]" not in text
    entry = _one_entry()
    assert (entry.outcome, entry.output_tokens, entry.is_estimated) == (UsageOutcome.CUT, 1, True)


@pytest.mark.parametrize("streamed", [False, True])
def test_an_engine_is_let_go_when_its_client_leaves_during_prefill(
    gateway: RunningGateway, key: str, ready: ReadyMake, engine: Site, streamed: bool
) -> None:
    ready()
    begun, gone = threading.Event(), threading.Event()
    engine.pages[CHAT] = _hangs_until_gone(begun, gone)
    with _asked_by_hand(gateway, key, json.dumps(BODY | {"stream": streamed}).encode()):
        assert begun.wait(60)
    assert gone.wait(60)
    assert _one_entry().outcome == UsageOutcome.CANCELLED


@contextlib.contextmanager
def _asked_by_hand(
    gateway: RunningGateway, key: str, body: bytes, length: int | None = None
) -> Iterator[socket.socket]:
    """A request on a connection of its own, which closes at the end of the block."""
    host, port = gateway.url.split("/")[2].split(":")
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        yield connection


def test_an_engine_is_let_go_when_its_client_leaves_a_stream(
    client: httpx.Client, ready: ReadyMake, engine: Site
) -> None:
    ready()
    gone = threading.Event()

    def page(handler: Any) -> None:
        Stream(_chunk(choices=[{"delta": {"content": "x"}}]), cut=True)(handler)
        _hangs_until_gone(threading.Event(), gone)(handler)

    engine.pages[CHAT] = page
    with client.stream("POST", CHAT, json=BODY | {"stream": True}) as answer:
        next(answer.iter_raw())
    assert gone.wait(60)
    entry = _one_entry()
    assert (entry.outcome, entry.output_tokens) == (UsageOutcome.CANCELLED, 1)


def _elsewhere(launch: Launch, site: Site) -> Launch:
    """A second engine of the same model, on another node, published on an address that we reach."""
    second = LaunchFactory(definition=launch.definition, node=NodeFactory(), state=LaunchState.READY)
    ports = [{"host": site.port, "container": 8000, "address": site.address}]
    MemberFactory(attempt=AttemptFactory(launch=second), port=site.port, spec={"ports": ports})
    return second


def test_another_engine_answers_where_one_takes_no_connection(client: httpx.Client, ready: ReadyMake) -> None:
    launch = ready(port=free_port())
    with site_run("127.0.0.2") as site:
        second = _elsewhere(launch, site)
        site.pages[CHAT] = _answer()
        answers = [client.post(CHAT, json=BODY).status_code for _ in range(3)]
    assert answers == [200, 200, 200]
    wait_for(lambda: UsageRecord.objects.count() == 3, "three entries")
    assert set(UsageRecord.objects.values_list("launch_uid", flat=True)) == {second.uid}


def test_the_least_busy_engine_is_asked(client: httpx.Client, ready: ReadyMake, engine: Site) -> None:
    launch = ready()
    page = Stream(_chunk(choices=[]), wait=True)
    with site_run("127.0.0.2") as site:
        _elsewhere(launch, site)
        site.pages[CHAT] = engine.pages[CHAT] = page
        with contextlib.ExitStack() as held:
            for number in range(6):
                body = {
                    "model": "qwen",
                    "messages": [{"role": "user", "content": str(number)}],
                    "stream": True,
                }
                held.enter_context(client.stream("POST", CHAT, json=body))
            assert (len(engine.asked), len(site.asked)) == (3, 3)
            page.step.release(6)


def test_a_model_that_no_address_reaches_says_so(client: httpx.Client, ready: ReadyMake) -> None:
    launch = ready()
    launch.node_name = "spark-9"
    launch.save()
    answer = client.post(CHAT, json=BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert "Publish it" in answer.json()["error"]["message"]


ERRORS: list[tuple[str, bytes, int, str]] = [
    ("POST", b"{", 400, "invalid_json"),
    ("POST", b"[]", 400, "invalid_json"),
    ("POST", b"[" * 100_000, 400, "invalid_json"),
    ("POST", b'{"messages": []}', 400, "missing_model"),
    ("POST", b'{"model": 7}', 400, "missing_model"),
    ("POST", b'{"model": "nobody"}', 404, "model_not_found"),
    ("POST", b'{"model": "\\u0000"}', 404, "model_not_found"),
    ("GET", b"", 405, "method_not_allowed"),
]


@pytest.mark.parametrize(("method", "data", "status", "code"), ERRORS)
def test_refusals_have_openais_shape(
    client: httpx.Client, ready: ReadyMake, method: str, data: bytes, status: int, code: str
) -> None:
    ready()
    answer = client.request(method, CHAT, content=data)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}


def test_a_body_over_the_limit_is_refused_unread(gateway: RunningGateway, key: str, ready: ReadyMake) -> None:
    ready()
    with _asked_by_hand(gateway, key, b"{", length=2**40) as connection:
        assert b" 413 " in connection.recv(4096)


def test_a_streamed_body_over_the_limit_is_refused(
    client: httpx.Client, ready: ReadyMake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_requests, "BODY_MOST", 1000)
    ready()
    answer = client.post(CHAT, content=iter([b"x" * 600, b"y" * 600]))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_a_model_that_starts_says_so(client: httpx.Client, ready: ReadyMake) -> None:
    ready(state=LaunchState.LOADING)
    answer = client.post(CHAT, json=BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_loading")
    assert int(answer.headers["retry-after"]) > 0


def test_an_engines_refusal_keeps_its_words_and_gets_our_code(
    client: httpx.Client, ready: ReadyMake, engine: Site
) -> None:
    ready()
    words = "This model's maximum context length is 4096 tokens."
    engine.pages[CHAT] = Reply(400, json.dumps({"error": {"message": words, "code": 400}}).encode())
    error = client.post(CHAT, json=BODY).json()["error"]
    assert (error["message"], error["code"]) == (words, "context_length_exceeded")
    engine.pages[CHAT] = Reply(500, b"<html>oops</html>", {"Content-Type": "text/html"})
    answer = client.post(CHAT, json=BODY)
    assert answer.status_code == 500
    assert "oops" in answer.json()["error"]["message"]


def test_an_answer_without_end_is_refused(
    client: httpx.Client, ready: ReadyMake, engine: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat_app.gateway.relay.ANSWER_MOST", 1000)
    ready()
    engine.pages[CHAT] = _answer(filler="x" * 2000)
    answer = client.post(CHAT, json=BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "answer_too_large")


@pytest.mark.parametrize("streamed", [False, True])
def test_an_engine_cannot_send_us_elsewhere(
    client: httpx.Client, ready: ReadyMake, engine: Site, streamed: bool
) -> None:
    ready()
    with site_run("127.0.0.3") as inside:
        inside.pages["*"] = _answer(secret="of the LAN")
        address = f"http://127.0.0.3:{inside.port}/"
        engine.pages[CHAT] = Reply(307, b"", {"Location": address})
        answer = client.post(CHAT, json=BODY | {"stream": streamed})
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "engine_redirects")
        assert inside.asked == []


def test_models_that_answer_are_listed(client: httpx.Client, ready: ReadyMake) -> None:
    ready("qwen")
    ready("sleepy", port=free_port(), state=LaunchState.LOADING)
    listed = client.get("/v1/models").json()["data"]
    assert [(one["id"], one["max_model_len"]) for one in listed] == [("qwen", 4096)]
    assert client.get("/v1/models/qwen").json()["id"] == "qwen"
    assert client.get("/v1/models/sleepy").status_code == 404


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer sk-wrong", "Basic YTpi", "Bearer \u00e9"])
def test_a_stranger_gets_nothing(gateway: RunningGateway, ready: ReadyMake, header: str) -> None:
    ready()
    for method, path in (("GET", "/models"), ("POST", "/chat/completions"), ("GET", "/nothing")):
        answer = httpx.request(
            method, gateway.url + path, headers={"Authorization": header.encode("latin-1")}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def test_guesses_neither_wait_together_nor_drive_out_a_key(
    client: httpx.Client, gateway: RunningGateway, ready: ReadyMake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_keys, "KEPT_MOST", 2)
    ready()
    asked: list[str] = []
    read = gateway_keys.caller_read

    def counted(hashed: str) -> Any:
        asked.append(hashed)
        return read(hashed)

    monkeypatch.setattr(gateway_keys, "caller_read", counted)
    monkeypatch.setattr(gateway_keys, "FRESH_SECONDS", 1000.0)
    monkeypatch.setattr(gateway_keys, "STALE_SECONDS", 1000.0)
    assert client.get("/v1/models").status_code == 200
    for number in range(5):
        headers = {"Authorization": f"Bearer sk-guess-{number}"}
        assert httpx.get(f"{gateway.url}/models", headers=headers).status_code == 401
    assert client.get("/v1/models").status_code == 200
    assert len(asked) == 6
    monkeypatch.setattr(gateway_keys, "READS_MOST", 0)
    refused = httpx.get(f"{gateway.url}/models", headers={"Authorization": "Bearer sk-one-more"})
    assert refused.status_code == 429
    assert client.get("/v1/models").status_code == 200


def test_a_key_without_the_scope_uses_no_model(
    gateway: RunningGateway, ready: ReadyMake, operator: User, key_of: Callable[..., str]
) -> None:
    ready()
    answer = httpx.get(
        f"{gateway.url}/models", headers={"Authorization": f"Bearer {key_of(operator, 'read')}"}
    )
    assert answer.status_code == 401
    assert "scope" in answer.json()["error"]["message"]
    answer = httpx.get(f"{gateway.url}/models", headers={"x-api-key": key_of(operator, "operate")})
    assert answer.status_code == 200


def test_a_revoked_key_ends_its_stream(
    client: httpx.Client, ready: ReadyMake, engine: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_app, "KEY_CHECK_SECONDS", 0.1)
    monkeypatch.setattr(gateway_keys, "STALE_SECONDS", 0.0)
    ready()
    engine.pages[CHAT] = Stream(_chunk(choices=[{"delta": {"content": "x"}}]), b"never", wait=True)
    engine.pages[CHAT].step.release()
    with client.stream("POST", CHAT, json=BODY | {"stream": True}) as answer:
        got = answer.iter_raw()
        next(got)
        ApiKey.objects.update(revoked_at=timezone.now())
        rest = b"".join(got)
    assert b"invalid_api_key" in rest
    assert _one_entry().outcome == UsageOutcome.REFUSED


def test_what_is_not_below_v1_is_djangos(gateway: RunningGateway) -> None:
    assert httpx.get(gateway.url.removesuffix("/v1") + "/v10/models").status_code == 418
