"""Faults around the whole product: each gets a sentence, nothing else stops working, and it recovers."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.e2e.conftest import visit
from tests.support.docker_gate import WITHOUT_ROOTS_KEYS, DockerGate, HeldRequests
from tests.support.dockerd import Dockerd
from tests.support.images import images_build
from tests.support.redis import RedisServer
from tests.support.second_node import (
    Browsing,
    SecondNode,
    launch_stopped,
    log_complaints,
    standins_import,
)
from tests.support.stack import PASSWORD, Stack, wait_for

pytestmark = pytest.mark.docker
REDIS_AWAY_SECONDS = 10


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    server = RedisServer(persist=True).start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, docker_host: str, redis: RedisServer) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("faults")
    with Stack(folder, docker_host=docker_host, REDIS_URL=redis.url) as running:
        standins_import(running, one={}, two={}, three={"STANDIN_FLOOD_LINES": "2000"})
        running.wait_online()
        yield running


def start_refused(stack: Stack, uid: str) -> tuple[str, str]:
    """The code and sentence of a launch that failed, the same on its page."""
    launch = stack.wait_state(uid, "failed", seconds=40)
    assert launch["failure_reason"].split("(")[0].split("'")[0] in Browsing(stack).get(f"/launches/{uid}/")
    return launch["failure_code"], launch["failure_reason"]


# Docker ---------------------------------------------------------------------------


def test_docker_denied_missing_and_there(stack: Stack, redis: RedisServer, docker_host: str) -> None:
    with (
        DockerGate(docker_host) as gate,
        SecondNode(
            stack, "spark-gate", redis=redis, docker_host=gate.host, prefix=WITHOUT_ROOTS_KEYS
        ) as node,
    ):
        node.wait_status("online")
        assert "usermod -aG docker" in node.wait_docker("denied")["message"]
        code, reason = start_refused(stack, node.launch_start("one"))
        assert (code, gate.host in reason) == ("docker_denied", True)
        gate.remove()
        assert "no Docker socket" in node.wait_docker("missing")["message"]
        code, reason = start_refused(stack, node.launch_start("one"))
        assert (code, gate.host in reason) == ("docker_missing", True)
        assert node.report()["host"]["memory_total_bytes"]
        gate.open()
        node.wait_docker("ok")
        uid = node.launch_start("one")
        stack.wait_state(uid, "ready")
        launch_stopped(stack, uid)


def test_docker_frozen_and_killed(stack: Stack, redis: RedisServer, own_dockerd: Dockerd) -> None:
    images_build(own_dockerd.host)
    with SecondNode(stack, "spark-own", redis=redis, docker_host=own_dockerd.host) as node:
        node.wait_status("online")
        uid = node.launch_start("one")
        stack.wait_state(uid, "ready")
        container = stack.member(uid)["container_id"]
        own_dockerd.freeze()
        try:
            assert "did not answer" in node.wait_docker("down", 30)["message"]
            assert stack.launch(uid)["state"] == "ready", "the model itself goes on"
            assert node.status() == "online"
            code, reason = start_refused(stack, node.launch_start("two"))
            assert (code, "did not answer" in reason) == ("docker_down", True)
        finally:
            own_dockerd.thaw()
        node.wait_docker("ok")
        assert stack.launch(uid)["state"] == "ready"
        assert stack.member(uid)["container_id"] == container
        own_dockerd.kill()
        assert "Start Docker" in node.wait_docker("down", 10)["message"]
        own_dockerd.start()
        node.wait_docker("ok")
        launch = wait_for(
            lambda: (
                (it := stack.launch(uid))["state"] == "ready"
                and (len(it["attempts"]) == 2 or stack.member(uid)["container_id"] == container)
                and it
            ),
            "the container is adopted, or its death told and it runs again",
            40,
        )
        assert launch["live"]
        launch_stopped(stack, uid)


def test_agent_killed_between_create_and_start(stack: Stack, redis: RedisServer, docker_host: str) -> None:
    with (
        HeldRequests(docker_host, "/start") as held,
        SecondNode(stack, "spark-held", redis=redis, docker_host=held.host) as node,
    ):
        node.wait_status("online")
        uid = node.launch_start("one")
        assert held.arrived.wait(20)
        (created,) = stack.containers()
        assert created.status == "created"
        node.kill()
        held.release()
        node.start()
        launch = stack.wait_state(uid, "ready")
        (running,) = stack.containers()
        assert running.id == created.id
        assert len(launch["attempts"]) == 1
        launch_stopped(stack, uid)


# What a start may want --------------------------------------------------------------


def test_a_port_that_another_program_uses_is_told_with_its_process(stack: Stack) -> None:
    port = stack.get("/api/definitions/one/")["port"]
    with socket.create_server(("127.0.0.1", port)):
        code, reason = start_refused(stack, stack.launch_start("one"))
    assert code == "port_in_use"
    assert str(port) in reason
    assert f"(process {os.getpid()})" in reason


def test_a_gpu_where_there_is_none(stack: Stack) -> None:
    status, _ = stack.call("PATCH", "/api/definitions/two/", {"settings": {"gpus": "all"}})
    assert status == 200
    code, reason = start_refused(stack, stack.launch_start("two"))
    assert code == "gpu_missing"
    assert "turn GPUs off" in reason
    assert not stack.containers()


# Redis ------------------------------------------------------------------------------


def test_redis_stopped_and_back(stack: Stack, redis: RedisServer) -> None:
    redis.stop()
    stopped_at = time.monotonic()
    try:
        status, launch = stack.call("POST", "/api/launches/", {"definition": "one"})
        assert status == 202
        status, answer = stack.call("GET", "/api/nodes/spark-1/snapshot/")
        assert (status, bool(answer["error"])) == (503, True)
        assert "Containers" in Browsing(stack).get("/")
        wait_for(
            lambda: (
                stack.get("/api/nodes/spark-1/")["status"] == "offline"
                and time.monotonic() - stopped_at > REDIS_AWAY_SECONDS
            ),
            "the node is offline to control, which hears nothing",
        )
    finally:
        redis.start()
    stack.wait_online(5)
    launch = stack.wait_state(launch["uid"], "ready", seconds=15)
    assert len(launch["attempts"]) == len(stack.containers()) == 1
    launch_stopped(stack, launch["uid"])


def test_redis_frozen_lets_no_request_hang(stack: Stack, redis: RedisServer) -> None:
    browsing = Browsing(stack)
    redis.freeze()
    try:
        status, launch = stack.call("POST", "/api/launches/", {"definition": "one"})
        assert status == 202
        assert "Containers" in browsing.get("/")
    finally:
        redis.thaw()
    stack.wait_state(launch["uid"], "ready")
    launch_stopped(stack, launch["uid"])


# The database -------------------------------------------------------------------------


def test_database_locked_by_another_program(stack: Stack) -> None:
    stack.wait_online()
    other = sqlite3.connect(stack.folder / "data" / "db.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answers: list[tuple[int, Any]] = []

    def start() -> None:
        answers.append(stack.call("POST", "/api/launches/", {"definition": "one"}))

    try:
        impatient = threading.Thread(target=start)
        impatient.start()
        before = stack.get("/api/nodes/spark-1/snapshot/")["seq"]
        wait_for(lambda: stack.get("/api/nodes/spark-1/snapshot/")["seq"] >= before + 5, "figures go on", 15)
        impatient.join(30)
        status, refusal = answers.pop()
        assert (status, refusal["code"]) == (503, "database_unavailable")
        assert "try again" in refusal["error"]
        patient = threading.Thread(target=start)
        patient.start()
        before = stack.get("/api/nodes/spark-1/snapshot/")["seq"]
        wait_for(
            lambda: stack.get("/api/nodes/spark-1/snapshot/")["seq"] >= before + 5, "five seconds pass", 15
        )
    finally:
        other.execute("ROLLBACK")
        other.close()
    patient.join(30)
    status, launch = answers.pop()
    assert status == 202
    stack.wait_state(launch["uid"], "ready")
    launch_stopped(stack, launch["uid"])


# The end ------------------------------------------------------------------------------


def test_faults_are_told_without_tracebacks(stack: Stack) -> None:
    complaints = log_complaints(stack.folder)
    assert [line for line in complaints if "traceback" in line.lower()] == []


def test_ctrl_c_ends_everything_with_a_page_and_a_log_open(stack: Stack, chromium: Browser) -> None:
    uid = stack.launch_start("three")
    stack.wait_state(uid, "ready")
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{stack.url}/launches/{uid}/")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(f"{stack.url}/launches/{uid}/")
        visit(page, f"{stack.url}/launches/{uid}/")
        page.locator("[data-link-state][data-state=open]").first.wait_for(state="attached")
        page.locator("[data-log-lines]").get_by_text("Application startup complete").first.wait_for()
        assert stack.process
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(60) == 0
        assert "was killed" not in stack.log()
    finally:
        context.close()


def test_nothing_is_left_of_the_processes(stack: Stack) -> None:
    assert stack.process
    assert stack.process.poll() == 0
    assert not Path(f"/proc/{stack.process.pid}").exists()
