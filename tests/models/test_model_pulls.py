"""Pulling a model into a running Ollama: progress, tries, ends. Ollama's side is a server of this test."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from models_app.engines.spec import ProbeSpec
from models_app.node import model_pulls
from models_app.node.facts import Facts
from models_app.node.identity import Identity
from models_app.node.model_pulls import TRIES, ModelPulls
from models_app.node.ollama import PullState, failure_sentence, is_listed, names_listed
from models_app.node.probes import ProbeResult, probe_once
from sparkweb.node_link.journal import JournalFull
from tests.support.stack import wait_for

LAYER = {"status": "pulling 1f1d", "digest": "sha256:1f1d", "total": 1000}
GOOD = [
    {"status": "pulling manifest"},
    {**LAYER},
    {**LAYER, "completed": 400},
    {**LAYER, "completed": 1000},
    {"status": "pulling 2a2e", "digest": "sha256:2a2e", "total": 24, "completed": 24},
    {"status": "verifying sha256 digest"},
    {"status": "writing manifest"},
    {"status": "success"},
]


class FakeOllama:
    """Answers each pull with the next script: lines, then `end` (ends well), `cut` or `hang`."""

    def __init__(self) -> None:
        self.scripts: list[tuple[list[Any], str]] = []
        self.asked: list[dict[str, Any]] = []
        self.release = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fake.asked.append({"path": self.path, **json.loads(body)})
                lines, end = fake.scripts.pop(0) if fake.scripts else ([], "end")
                self.send_response(200)
                self.end_headers()
                for line in lines:
                    self.wfile.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
                if end == "hang":
                    fake.release.wait(20)

            def log_message(self, *_words: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


class Journal:
    """Facts in a list; `full` refuses them."""

    def __init__(self) -> None:
        self.facts: list[tuple[str, dict[str, Any]]] = []
        self.full = False

    def add(self, verb: str, data: dict[str, Any]) -> int:
        if self.full:
            raise JournalFull("the journal is full")
        self.facts.append((verb, data))
        return len(self.facts)

    def is_acknowledged(self, sequence: int) -> bool:
        return True

    def fence(self, launch: str, generation: int) -> bool:
        return True


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOllama]:
    monkeypatch.setattr(model_pulls, "RETRY_SECONDS", 0.01)
    fake = FakeOllama()
    yield fake
    fake.close()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def ended() -> list[Identity]:
    return []


@pytest.fixture
def pulls(journal: Journal, ended: list[Identity]) -> Iterator[ModelPulls]:
    made = ModelPulls(Facts(journal), ended.append)
    yield made
    made.close()


@pytest.fixture
def identity(ollama: FakeOllama) -> Identity:
    return Identity("l1", "m1", 1, "qwen", ProbeSpec("ollama", ollama.port, "/api/tags", "qwen3:4b"))


def message(pulls: ModelPulls) -> str:
    return (pulls.stage("m1") or {}).get("message") or ""


def test_progress_is_the_sum_of_the_layers(ollama: FakeOllama, pulls: ModelPulls, identity: Identity) -> None:
    ollama.scripts = [(GOOD, "end")]
    assert pulls.stage("m1") is None
    pulls.ensure(identity)
    wait_for(lambda: "is downloaded" in message(pulls), "the model is pulled")
    assert pulls.stage("m1") == {
        "name": "download",
        "done_bytes": 1024,
        "total_bytes": 1024,
        "message": "qwen3:4b is downloaded",
    }
    assert ollama.asked == [{"path": "/api/pull", "model": "qwen3:4b", "stream": True}]


def test_what_was_just_pulled_is_not_pulled_again(
    ollama: FakeOllama, pulls: ModelPulls, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The observer may ask once more before it has seen the list; later it is taken for deleted."""
    ollama.scripts = [(GOOD, "end")] * 2
    pulls.ensure(identity)
    wait_for(lambda: not [one for one in threading.enumerate() if one.name == "pull-m1"], "it is pulled")
    pulls.ensure(identity)
    assert len(ollama.asked) == 1
    monkeypatch.setattr(model_pulls, "LISTED_SECONDS", 0.0)
    assert pulls.stage("m1") is None
    pulls.ensure(identity)
    wait_for(lambda: len(ollama.asked) == 2, "it is pulled again")


def test_asked_again_and_again_it_pulls_once(
    ollama: FakeOllama, pulls: ModelPulls, identity: Identity
) -> None:
    ollama.scripts = [(GOOD[:3], "hang")]
    for _ in range(50):
        pulls.ensure(identity)
    wait_for(lambda: (pulls.stage("m1") or {}).get("done_bytes") == 400, "the first bytes are told")
    pulls.ensure(identity)
    assert len(ollama.asked) == 1


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("pull model manifest: file does not exist", "Check the model's name and tag."),
        ("invalid model name", "Check the model's name and tag."),
        ("write /root/.ollama/models/blobs/x: no space left on device", "Free space in the node's Ollama"),
        ("The model you are pulling requires a newer version of Ollama", "Choose a newer Ollama image."),
        ("unauthorized", "The model is not public."),
    ],
)
def test_what_no_other_try_would_change_ends_the_start_at_once(
    error: str,
    hint: str,
    ollama: FakeOllama,
    pulls: ModelPulls,
    identity: Identity,
    journal: Journal,
    ended: list[Identity],
) -> None:
    ollama.scripts = [([GOOD[0], {"error": error}], "end")]
    pulls.ensure(identity)
    wait_for(lambda: ended, "the member is brought down")
    assert len(ollama.asked) == 1
    [(verb, data)] = journal.facts
    assert verb == "start_refused"
    assert data["code"] == "model_pull_failed" and data["member"] == "m1"
    assert data["reason"].startswith(f"Ollama could not pull qwen3:4b: {error}. {hint}")
    pulls.ensure(identity)
    assert len(ollama.asked) == 1, "a start that failed is not tried again"


FAULTS: dict[str, tuple[list[Any], str]] = {
    "registry away": (
        [{"error": "dial tcp: lookup registry.ollama.ai: no such host"}],
        "no such host. Check that this node reaches the model's registry",
    ),
    "hangs up": (GOOD[:2], "the server ended the download without a word"),
    "says nothing": ([], "the server ended the download without a word"),
    "no JSON": ([b"<html>", b"\xff\xfe", b"[1]", b"7"], "the server ended the download without a word"),
    "odd figures": ([{"status": 7, "digest": [], "total": "x"}, {"error": ""}], "it gave no reason"),
}


@pytest.mark.parametrize(("lines", "reason"), FAULTS.values(), ids=FAULTS)
def test_tries_without_progress_end(
    lines: list[Any],
    reason: str,
    ollama: FakeOllama,
    pulls: ModelPulls,
    identity: Identity,
    journal: Journal,
    ended: list[Identity],
) -> None:
    ollama.scripts = [(lines, "end")] * TRIES
    pulls.ensure(identity)
    wait_for(lambda: ended, "the member is brought down")
    assert len(ollama.asked) == TRIES
    assert reason in journal.facts[0][1]["reason"]


def test_tries_that_come_further_do_not_count(
    ollama: FakeOllama, pulls: ModelPulls, identity: Identity, journal: Journal
) -> None:
    """A line that breaks each hundred bytes still brings the model here."""
    steps = [([{**LAYER, "completed": done}], "end") for done in range(100, 1000, 100)]
    ollama.scripts = [*steps, (GOOD, "end")]
    pulls.ensure(identity)
    wait_for(lambda: "is downloaded" in message(pulls), "the model is pulled")
    assert len(ollama.asked) == 10 and journal.facts == []


def test_server_that_is_gone(
    ollama: FakeOllama, pulls: ModelPulls, identity: Identity, journal: Journal, ended: list[Identity]
) -> None:
    ollama.close()
    pulls.ensure(identity)
    wait_for(lambda: ended, "the member is brought down")
    assert "the connection to the server broke" in journal.facts[0][1]["reason"]


def test_server_that_says_nothing_for_too_long(
    ollama: FakeOllama,
    pulls: ModelPulls,
    identity: Identity,
    journal: Journal,
    ended: list[Identity],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_pulls, "SILENCE_SECONDS", 0.1)
    ollama.scripts = [(GOOD[:1], "hang")] * TRIES
    pulls.ensure(identity)
    wait_for(lambda: ended, "the member is brought down")
    assert "timed out" in journal.facts[0][1]["reason"]


@pytest.mark.parametrize("way", ["cancel", "forget"])
def test_stop_ends_it_without_a_word(
    way: str,
    ollama: FakeOllama,
    pulls: ModelPulls,
    identity: Identity,
    journal: Journal,
    ended: list[Identity],
) -> None:
    ollama.scripts = [(GOOD[:3], "hang")]
    pulls.ensure(identity)
    wait_for(lambda: (pulls.stage("m1") or {}).get("done_bytes") == 400, "it is under way")
    thread = next(one for one in threading.enumerate() if one.name == "pull-m1")
    getattr(pulls, way)("m1")
    thread.join(5)
    assert not thread.is_alive()
    assert journal.facts == [] and ended == []


def test_cancelled_is_not_begun_again(ollama: FakeOllama, pulls: ModelPulls, identity: Identity) -> None:
    """The observer still sees the server while it is being stopped."""
    ollama.scripts = [(GOOD[:3], "hang")]
    pulls.ensure(identity)
    wait_for(lambda: len(ollama.asked) == 1, "it is under way")
    pulls.cancel("m1")
    pulls.ensure(identity)
    assert len(ollama.asked) == 1


def test_journal_that_is_full_loses_no_failure(
    ollama: FakeOllama, pulls: ModelPulls, identity: Identity, journal: Journal, ended: list[Identity]
) -> None:
    journal.full = True
    ollama.scripts = [([{"error": "file does not exist"}], "end")] * 3
    pulls.ensure(identity)
    wait_for(lambda: not [one for one in threading.enumerate() if one.name == "pull-m1"], "the try ended")
    assert ended == []
    journal.full = False
    pulls.ensure(identity)
    wait_for(lambda: ended, "the member is brought down")
    assert len(journal.facts) == 1


def test_closed_pulls_begin_nothing(ollama: FakeOllama, pulls: ModelPulls, identity: Identity) -> None:
    pulls.close()
    pulls.ensure(identity)
    assert pulls.stage("m1") is None and ollama.asked == []


# Pure parts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "names", "there"),
    [
        ("qwen3", ["qwen3:latest"], True),
        ("qwen3:latest", ["qwen3:latest"], True),
        ("qwen3:4b", ["qwen3:latest"], False),
        ("hf.co/Org/Repo-GGUF:Q4_K_M", ["hf.co/org/repo-gguf:q4_k_m"], True),
        ("lan:5000/me/m", ["lan:5000/me/m:latest"], True),
        ("qwen3", [], False),
    ],
)
def test_model_is_found_by_its_full_name(model: str, names: list[str], there: bool) -> None:
    assert is_listed(model, names) is there


@pytest.mark.parametrize("body", [b"", b"[]", b'{"models": null}', b'{"models": [1]}', b"{", b"\xff"])
def test_what_is_no_list_of_models(body: bytes) -> None:
    assert names_listed(body) is None


def test_size_is_unknown_until_a_layer_is_named() -> None:
    state = PullState("m")
    state.feed({"status": "pulling manifest"})
    assert state.stage() == {
        "name": "download",
        "done_bytes": None,
        "total_bytes": None,
        "message": "Downloading m",
    }
    state.feed(LAYER)
    assert (state.done_bytes, state.stage()["total_bytes"]) == (0, 1000)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("verifying sha256 digest", "Checking the download of m"),
        ("writing manifest", "Storing m"),
        ("removing any unused layers", "Storing m"),
        ("success", "m is downloaded"),
    ],
)
def test_stages_in_words(status: str, words: str) -> None:
    state = PullState("m")
    state.feed({"status": status})
    assert state.stage()["message"] == words
    assert state.finished is (status == "success")


def test_long_error_is_cut() -> None:
    assert len(failure_sentence("m", "x" * 10_000)) < 700


def test_server_without_its_model_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[tuple[int, bytes]] = [
        (200, b'{"models": []}'),
        (200, b'{"models": [{"name": "qwen3:4b"}]}'),
        (200, b'{"models": []}'),
        (500, b""),
    ]
    asked: Callable[..., tuple[int, bytes]] = lambda *_words: answers.pop(0)  # noqa: E731
    monkeypatch.setattr("sparkweb.adapters.engine_http.get", asked)
    probe = ProbeSpec("ollama", 1, "/api/tags", "qwen3:4b")
    empty = probe_once(probe, ProbeResult())
    assert (empty.ready, empty.health) == (False, 200)
    assert empty.message == "the server runs; qwen3:4b is not in it yet"
    there = probe_once(probe, empty)
    assert (there.ready, there.models) == (True, ["qwen3:4b"])
    taken_away = probe_once(probe, there)
    assert (taken_away.ready, taken_away.health) == (False, 200)
    assert probe_once(probe, taken_away).message == "/api/tags answered 500"
