"""Requests that a node signs: taken once, from that node, about now, and never from anybody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from sparkweb.accounts.models import NodeKey
from sparkweb.node_link import http_views
from sparkweb.node_link.http_auth import (
    NODE,
    NONCE,
    SIGNATURE,
    TIME,
    WINDOW_SECONDS,
    Proof,
    ProofInvalid,
    proof_headers,
)
from sparkweb.node_link.http_client import WebClient, WebUnreachable
from sparkweb.node_link.signatures import Signer, key_pair_make
from sparkweb.streams import Streams

TARGET = "/node/things/?a=1"
LIMIT_BYTES = 1000


@pytest.fixture
def signer(db: None) -> Signer:
    private, public = key_pair_make()
    NodeKey.objects.create(node_name="spark-1", public_key=public)
    return Signer("spark-1", private)


@pytest.fixture
def ask(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., HttpResponse]]:
    """Send a request to a view of nodes: `ask(headers, body)`."""
    streams = Streams(redis_url)
    monkeypatch.setattr(http_views, "shared_streams", lambda: streams)

    @http_views.node_post(LIMIT_BYTES)
    def view(request: HttpRequest, node_name: str) -> HttpResponse:
        return HttpResponse(f"{node_name} sent {len(request.body)}")

    def send(headers: dict[str, str], body: bytes = b"hello", target: str = TARGET) -> HttpResponse:
        request = RequestFactory().post(
            target, body, content_type="application/octet-stream", headers=headers
        )
        return view(request)

    yield send
    streams.close()


def signed(signer: Signer, body: bytes = b"hello", *, at: float = 0, target: str = TARGET) -> dict[str, str]:
    return proof_headers(signer, "POST", target, body, at or time.time())


def test_a_signed_request_is_its_nodes(ask: Any, signer: Signer) -> None:
    answer = ask(signed(signer))
    assert (answer.status_code, answer.content) == (200, b"spark-1 sent 5")


def test_the_same_request_is_taken_once(ask: Any, signer: Signer) -> None:
    headers = signed(signer)
    assert [ask(headers).status_code for _ in range(3)] == [200, 401, 401]


@pytest.mark.parametrize("off", [-WINDOW_SECONDS - 5, WINDOW_SECONDS + 5, 3600])
def test_one_of_another_time_is_refused_and_told_the_time(ask: Any, signer: Signer, off: int) -> None:
    answer = ask(signed(signer, at=time.time() + off))
    assert answer.status_code == 401
    assert int(answer[TIME]) == pytest.approx(time.time(), abs=60)


def test_whatever_is_changed_breaks_it(ask: Any, signer: Signer) -> None:
    headers = signed(signer)
    assert ask(headers, b"other").status_code == 401
    assert ask(headers, target="/node/things/?a=2").status_code == 401
    for name, value in (
        (NODE, "spark-2"),
        (NONCE, "0" * 32),
        (TIME, str(int(headers[TIME]) + 1)),
        (SIGNATURE, "AAAA"),
    ):
        assert ask({**headers, name: value}).status_code == 401
    assert ask(headers).status_code == 200  # none of these used it up


def test_a_stranger_a_revoked_key_and_none_at_all_are_refused(ask: Any, signer: Signer) -> None:
    stranger = Signer("spark-1", key_pair_make()[0])
    assert ask(signed(stranger)).status_code == 401
    assert ask({}).status_code == 401
    NodeKey.objects.update(revoked_at="2026-01-01T00:00:00Z")
    assert ask(signed(signer)).status_code == 401


def test_a_large_body_is_refused_unread(ask: Any, signer: Signer) -> None:
    body = b"x" * (LIMIT_BYTES + 1)
    assert ask(signed(signer, body), body).status_code == 413


def test_without_redis_it_is_to_be_sent_later(
    ask: Any, signer: Signer, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    away = Streams(f"redis://127.0.0.1:{free_port}/0")
    monkeypatch.setattr(http_views, "shared_streams", lambda: away)
    assert ask(signed(signer)).status_code == 503


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {NODE: "../x"},
        {NODE: "spark-1", TIME: "-5"},
        {NODE: "spark-1", TIME: "9" * 40},
        {NODE: "spark-1", TIME: "5", NONCE: "x"},
        {NODE: "spark-1", TIME: "5", NONCE: "a" * 32},
    ],
)
def test_headers_that_prove_nothing(headers: dict[str, str]) -> None:
    with pytest.raises(ProofInvalid):
        Proof.of(headers)


def test_a_node_whose_clock_is_an_hour_off_is_told_and_comes_through(
    live_server: Any, redis_url: str, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real view behind the real middleware: what is sent is no piece of a log, and says so."""
    streams = Streams(redis_url)
    monkeypatch.setattr(http_views, "shared_streams", lambda: streams)
    client = WebClient(live_server.url, signer)
    client._ahead = 3600.0
    answer = client.post("/node/log-chunks/", b"nothing")
    assert (answer.status, "no header line" in answer.text) == (400, True)
    assert abs(client._ahead) < 300
    client.close()
    streams.close()


def test_nobody_at_the_address_is_unreachable(signer: Signer, free_port: int) -> None:
    with pytest.raises(WebUnreachable):
        WebClient(f"http://127.0.0.1:{free_port}", signer).post("/node/log-chunks/", b"")
