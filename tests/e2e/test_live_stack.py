"""The main job on the whole product: `up`, a real Docker engine, the engine stand-in, faults on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.support.images import STANDIN
from tests.support.stack import Stack, free_port, wait_for

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, docker_host: str) -> Iterator[Stack]:
    """One product for all tests here: each fault leaves it whole, or the next test tells."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "scripts").mkdir()
    scripts = str(folder / "scripts")
    with Stack(folder, docker_host=docker_host, SPARKWEB_SCRIPTS_DIR=scripts) as running:
        yield running


@pytest.fixture
def stack(house: Stack) -> Iterator[Stack]:
    """The product with no launch live and no container of an earlier test."""
    house.wait_online()
    yield house
    for launch in house.get("/api/launches/?live=true")["results"]:
        house.call("POST", f"/api/launches/{launch['uid']}/stop/")
    wait_for(lambda: not house.get("/api/launches/?live=true")["results"], "no launch is live", 60)
    wait_for(lambda: not house.containers(), "no container is left", 60)


def starting(stack: Stack, load_seconds: str = "6") -> str:
    """A launch of the stand-in that is loading right now, or was: 0.2 s are soon over."""
    stack.import_standin(image=STANDIN, STANDIN_LOAD_SECONDS=load_seconds)
    uid = stack.launch_start()
    stack.wait_state(uid, "loading", "ready")
    return uid


def assert_adopted(stack: Stack, uid: str, container: str) -> None:
    """The launch became ready in the very container it had, on its first attempt."""
    launch = stack.wait_state(uid, "ready", seconds=40)
    assert [c.id for c in stack.containers()] == [container]
    assert len(launch["attempts"]) == 1


def test_start_ready_log_stop_and_history(stack: Stack) -> None:
    stack.import_standin(image=STANDIN, STANDIN_LOAD_SECONDS="0.5")
    uid = stack.launch_start()
    stack.wait_state(uid, "ready")
    assert stack.member(uid)["image_digest"]
    log = stack.get("/api/models/standin/logs?lines=100")
    assert "Application startup complete" in str(log)
    assert stack.call("POST", f"/api/launches/{uid}/stop/")[0] in (200, 202)
    stack.wait_state(uid, "stopped")
    wait_for(lambda: not stack.containers(), "no container left")
    words = " ".join(event["message"] for event in stack.get(f"/api/launches/{uid}/events/")["results"])
    assert "Start requested by" in words
    assert "Ready" in words
    assert "Stop requested by" in words


def test_fifty_starts_at_once_make_one_container(stack: Stack) -> None:
    stack.import_standin(image=STANDIN)
    uids: set[str] = set()
    barrier = threading.Barrier(50)

    def press() -> None:
        barrier.wait()
        uids.add(stack.launch_start())

    threads = [threading.Thread(target=press) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (uid,) = uids
    stack.wait_state(uid, "ready")
    assert len(stack.containers()) == 1


@pytest.mark.parametrize("victim", ["agent", "control", "redis"])
def test_a_process_killed_mid_launch_is_replaced_and_the_container_adopted(stack: Stack, victim: str) -> None:
    uid = starting(stack)
    (container,) = stack.containers()
    stack.child(victim).kill()
    assert_adopted(stack, uid, container.id)


def test_everything_killed_mid_launch_and_started_again(stack: Stack) -> None:
    uid = starting(stack)
    (container,) = stack.containers()
    stack.kill()
    stack.start()
    assert_adopted(stack, uid, container.id)


def test_everything_stopped_and_started_again_finds_it_as_it_was(stack: Stack) -> None:
    uid = starting(stack, "1")
    stack.wait_state(uid, "ready")
    (container,) = stack.containers()
    stack.stop()
    assert container.status == "running"
    stack.start()
    assert_adopted(stack, uid, container.id)


def test_removed_behind_our_back_shows(stack: Stack) -> None:
    uid = starting(stack, "0.2")
    stack.wait_state(uid, "ready")
    (container,) = stack.containers()
    container.remove(force=True)
    launch = stack.wait_state(uid, "requested", "failed", seconds=10)
    assert "removed" in launch["failure_reason"]
    assert stack.wait_state(uid, "ready", seconds=40)["attempts"][0]["number"] == 2


def test_stopped_behind_our_back_shows_how_it_ended(stack: Stack) -> None:
    uid = starting(stack, "0.2")
    stack.wait_state(uid, "ready")
    (container,) = stack.containers()
    container.kill()
    launch = stack.wait_state(uid, "requested", "failed", seconds=5)
    assert "SIGKILL" in launch["failure_reason"] or "137" in launch["failure_reason"]


def test_an_image_that_exits_at_once_fails_with_its_last_words(stack: Stack) -> None:
    stack.import_standin(
        image=STANDIN, STANDIN_EXIT_CODE="3", STANDIN_EXIT_MESSAGE="ValueError: no such quantization"
    )
    launch = stack.wait_state(stack.launch_start(), "failed")
    assert "no such quantization" in launch["failure_reason"]
    assert stack.member(launch["uid"])["exit_code"] == 3
    assert len(launch["attempts"]) == 1


def test_a_missing_image_fails_with_a_sentence(stack: Stack) -> None:
    stack.import_standin(image="127.0.0.1:9/nothing/here:1")
    launch = stack.wait_state(stack.launch_start(), "failed", seconds=60)
    assert "127.0.0.1:9/nothing/here:1" in launch["failure_reason"]
    assert launch["failure_code"] in ("image_missing", "pull_failed")


def test_stop_while_loading_leaves_nothing(stack: Stack) -> None:
    uid = starting(stack, "60")
    stack.call("POST", f"/api/launches/{uid}/stop/")
    stack.wait_state(uid, "stopped")
    wait_for(lambda: not stack.containers(), "no container left")


def test_restart_is_a_second_attempt(stack: Stack) -> None:
    uid = starting(stack, "0.2")
    stack.wait_state(uid, "ready")
    (first,) = stack.containers()
    stack.call("POST", f"/api/launches/{uid}/restart/")
    launch = wait_for(
        lambda: (it := stack.launch(uid)) and it["state"] == "ready" and len(it["attempts"]) == 2 and it,
        "second attempt",
    )
    assert launch["uid"] == uid
    wait_for(lambda: len(stack.containers()) == 1, "one container")
    assert stack.containers()[0].id != first.id


def test_redis_flushed_mid_launch_changes_nothing(stack: Stack) -> None:
    import redis

    uid = starting(stack)
    (container,) = stack.containers()
    redis.Redis.from_url(f"unix://{stack.folder}/data/run/redis.sock").flushall()
    assert_adopted(stack, uid, container.id)


SERVER = """#!/bin/sh
echo "it speaks"
exec python3 -c '
import http.server, json, os
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": [{"id": os.environ["DEFINITION"]}]}).encode())
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answers).serve_forever()
'
"""


def test_script_runs_is_found_again_by_the_next_agent_and_stops(stack: Stack) -> None:
    folder = stack.folder / "scripts" / "own"
    folder.mkdir()
    (folder / "serve.sh").write_text(SERVER)
    (folder / "serve.sh").chmod(0o755)
    fields = {"slug": "own", "name": "Own", "engine": "script", "script_dir": "own", "model_id": "x"}
    status, answer = stack.call("POST", "/api/definitions/", {**fields, "port": free_port()})
    assert status == 201, answer
    uid = stack.launch_start("own")
    stack.wait_state(uid, "ready", seconds=60)
    wait_for(lambda: "it speaks" in str(stack.get("/api/models/own/logs")), "its log", 60)
    stack.child("agent").kill()
    messages = lambda: [one["message"] for one in stack.get(f"/api/launches/{uid}/events/")["results"]]  # noqa: E731
    wait_for(lambda: "serve.sh was found again" in messages(), "it is found again", 60)
    launch = stack.wait_state(uid, "ready", seconds=60)
    assert len(launch["attempts"]) == 1
    assert stack.call("POST", f"/api/launches/{uid}/stop/")[0] == 202
    stack.wait_state(uid, "stopped", seconds=60)
    assert stack.member(uid)["exit_code"] == 143
