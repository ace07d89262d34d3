"""A day of the real vLLM: its two models change places, it hangs, it is left idle."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
import psutil
import pytest
from playwright.sync_api import expect

from tests.real_engine.house import READY_SECONDS, Eyes, complete, define
from tests.support.stack import Stack, wait_for

pytestmark = pytest.mark.real_engine

ENVIRONMENT = {"SPARKWEB_HANG_SECONDS": "5"}
# A name that tells the version: what SparkWeb asks itself is kept out of the log then.
TOLD = "vllm-cpu:v0.32.0"


@dataclass(frozen=True)
class Serving:
    """The launch that serves, and the one that made room for it."""

    uid: str
    port: int
    before: str


@pytest.fixture(scope="module")
def serving(stack: Stack, docker_host: str, real_image: str) -> Iterator[Serving]:
    """SmolLM2, ready, in the place of the tiny model that was ready before."""
    client = docker.DockerClient(base_url=docker_host)
    client.images.get(real_image).tag(*TOLD.split(":"))
    try:
        define(stack, "tiny", TOLD)
        define(stack, "smollm2", TOLD, model="/models/smollm2")
        before = stack.launch_start("tiny")
        stack.wait_state(before, "ready", "failed", seconds=READY_SECONDS)
        assert complete(stack.member(before)["port"], "tiny", "one two")
        status, launch = stack.call("POST", "/api/launches/", {"definition": "smollm2", "stop": [before]})
        assert status == 202, launch
        stack.wait_state(launch["uid"], "ready", "failed", seconds=READY_SECONDS)
        yield Serving(launch["uid"], stack.member(launch["uid"])["port"], before)
    finally:
        stack.containers_remove()
        client.images.remove(TOLD)
        client.close()


def events(stack: Stack, uid: str) -> list[dict[str, Any]]:
    """A launch's timeline, oldest first."""
    return sorted(stack.get(f"/api/launches/{uid}/events/?page_size=100")["results"], key=lambda e: e["at"])


def last_of(stack: Stack, uid: str, state: str) -> str:
    """What the timeline says of the last time that it came to this state."""
    return next(str(e["message"]) for e in reversed(events(stack, uid)) if e["to_state"] == state)


def processes(stack: Stack, uid: str, *names: str) -> list[psutil.Process]:
    """The engine's processes in the launch's container, by the names vLLM gives them; all of it without."""
    (container,) = [c for c in stack.containers() if c.name == stack.member(uid)["container_name"]]
    shim = psutil.Process(container.attrs["State"]["Pid"])
    found = [shim, *shim.children(recursive=True)]
    return [one for one in found if not names or any(name in " ".join(one.cmdline()) for name in names)]


@contextmanager
def stopped(chosen: list[psutil.Process]) -> Iterator[None]:
    """SIGSTOP for these processes; SIGCONT at the end for those that are still there."""
    for one in chosen:
        one.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for one in chosen:
            if one.is_running():
                os.kill(one.pid, signal.SIGCONT)


@contextmanager
def request_in_flight(port: int, model: str) -> Iterator[http.client.HTTPResponse]:
    """A streamed answer whose first words have come, and which has many more to say."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
    fields = {"model": model, "prompt": "Once", "max_tokens": 480, "ignore_eos": True, "stream": True}
    connection.request(
        "POST", "/v1/completions", json.dumps(fields), headers={"Content-Type": "application/json"}
    )
    try:
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.readline().startswith(b"data: ")
        yield answer
    finally:
        connection.close()


def test_one_model_takes_the_place_of_the_other(stack: Stack, serving: Serving) -> None:
    assert stack.launch(serving.before)["state"] == "stopped"
    assert stack.launch(serving.uid)["state"] == "ready"
    assert [one.name for one in stack.containers()] == [stack.member(serving.uid)["container_name"]]
    assert "Paris" in complete(serving.port, "smollm2", "The capital of France is")
    stopped_at = next(e["at"] for e in events(stack, serving.before) if e["to_state"] == "stopped")
    began = next(e["at"] for e in events(stack, serving.uid) if e["to_state"] in ("starting", "loading"))
    assert stopped_at <= began, "there was room for one"


def test_what_sparkweb_asks_itself_is_not_in_the_log(stack: Stack, serving: Serving) -> None:
    read = f"/api/launches/{serving.uid}/engine/"
    wait_for(lambda: stack.get(read)["requests_running"] is not None, "its figures were read")
    assert complete(serving.port, "smollm2", "One")
    search = f"/api/launches/{serving.uid}/log-search/?q="
    wait_for(lambda: stack.get(search + "POST%20/v1/completions")["hits"], "what others ask is logged")
    for path in ("/health", "/metrics"):
        hits = stack.get(search + f"GET%20{path}%20HTTP")["hits"]
        assert not [hit for hit in hits if " 200" in hit["text"]]


def test_an_engine_that_stands_still_is_degraded_with_the_reason_and_ready_again(
    stack: Stack, serving: Serving, eyes: Eyes
) -> None:
    core = processes(stack, serving.uid, "EngineCore", "Worker")
    assert core
    with request_in_flight(serving.port, "smollm2") as answer:
        with stopped(core):
            stack.wait_state(serving.uid, "degraded", seconds=120)
            said = last_of(stack, serving.uid, "degraded")
            assert said.startswith("It hangs: ")
            assert "nothing has moved for" in said
            assert said.endswith("a question for one token got none within 30 s")
            page = eyes.open(f"/launches/{serving.uid}/")
            expect(page.locator("[data-trouble]")).to_have_text(said)
            eyes.look("launch-hangs")
        stack.wait_state(serving.uid, "ready", seconds=120)
        expect(page.locator("[data-trouble]")).to_have_count(0)
        assert answer.read().rstrip().endswith(b"data: [DONE]"), "the answer goes on where it stood"
    assert len(stack.launch(serving.uid)["attempts"]) == 1


def test_an_engine_that_hangs_is_started_again_where_its_definition_says_so(
    stack: Stack, serving: Serving
) -> None:
    settings = stack.get("/api/definitions/smollm2/")["settings"] | {"restart_on_hang": True}
    status, answer = stack.call("PATCH", "/api/definitions/smollm2/", {"settings": settings})
    assert status == 200, answer
    with request_in_flight(serving.port, "smollm2"), stopped(processes(stack, serving.uid)):
        again = wait_for(
            lambda: len(stack.launch(serving.uid)["attempts"]) == 2, "a second attempt", READY_SECONDS
        )
        assert again
    launch = stack.wait_state(serving.uid, "ready", "failed", "parked", seconds=READY_SECONDS)
    assert launch["state"] == "ready"
    now, first = launch["attempts"]
    assert (now["number"], first["outcome"]) == (2, "failed")
    assert first["failure_reason"].startswith("It hangs: ")
    wait_for(lambda: len(stack.containers()) == 1, "one container is left")
    assert "Paris" in complete(stack.member(serving.uid)["port"], "smollm2", "The capital of France is")


def test_an_engine_that_nobody_asks_is_unloaded(stack: Stack, serving: Serving) -> None:
    """Its own figures must say that it idles: a question for a token would begin the minute anew."""
    status, answer = stack.call("PATCH", "/api/definitions/smollm2/", {"idle_minutes": 1})
    assert status == 200, answer
    stack.wait_state(serving.uid, "stopped", seconds=240)
    said = [event["message"] for event in events(stack, serving.uid)]
    assert "No request for 1 min: unloaded, as its definition says" in said
    wait_for(lambda: not stack.containers(), "no container is left")
