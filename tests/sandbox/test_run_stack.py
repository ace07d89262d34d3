"""A call from end to end: real web, control, Redis and database; only the node is a stand-in."""

from __future__ import annotations

import concurrent.futures
import hashlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.stack import wait_for
from tests.support.tool_house import House


@pytest.fixture(scope="module")
def stack() -> Iterator[House]:
    house = House()
    yield house
    house.close()


@pytest.fixture
def house(stack: House) -> Iterator[House]:
    yield stack
    for uid in list(stack.agent.jobs):
        stack.agent.finish(uid)


def answer(connection: http.client.HTTPConnection) -> dict[str, Any]:
    response = connection.getresponse()
    assert response.status == 200
    found: dict[str, Any] = json.loads(response.read())
    connection.close()
    return found


def event(response: http.client.HTTPResponse) -> dict[str, str]:
    """The next event of a stream; comments are passed over."""
    found: dict[str, str] = {}
    while True:
        line = response.readline().decode()
        assert line, "the stream ended"
        name, _, value = line.rstrip("\n").partition(": ")
        if name in ("id", "event", "data"):
            found[name] = value
        elif line == "\n" and "event" in found:
            return found


def until(response: http.client.HTTPResponse, kind: str) -> dict[str, str]:
    while (found := event(response))["event"] != kind:
        pass
    return found


# One call ---------------------------------------------------------------------------------


def test_a_call_is_answered_as_older_clients_know_it(house: House) -> None:
    found = answer(house.execute("print(1)"))
    assert {name: found[name] for name in ("success", "output", "error", "execution_time")} == {
        "success": True,
        "output": "1\n",
        "error": None,
        "execution_time": 0.001,
    }
    run = house.ended(found["exec_id"])
    assert (run["outcome"], run["stdout"], run["warm"], run["via"]) == ("ok", "1\n", True, "api")


def test_a_failed_run_is_an_answer_too(house: House) -> None:
    connection = house.execute("wait")
    (uid,) = house.running()
    house.agent.finish(uid, "memory", reason="it used more than 256 MiB", stdout="so far\n")
    found = answer(connection)
    assert (found["success"], found["outcome"], found["output"]) == (False, "memory", "so far\n")
    assert "256 MiB" in found["error"]


def test_the_same_key_waits_for_the_same_run(house: House) -> None:
    connections = [house.execute("wait", idempotency_key="one") for _ in range(2)]
    (uid,) = house.running()
    house.agent.finish(uid, stdout="x")
    assert {answer(connection)["exec_id"] for connection in connections} == {uid}


def test_waiting_calls_hold_no_thread(house: House) -> None:
    connections = [house.execute("wait") for _ in range(20)]
    uids = house.running(20)
    status, _ = house.call("GET", "/api/nodes")
    assert status == 200
    for uid in uids:
        house.agent.finish(uid, stdout="done")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert all(found["success"] for found in pool.map(answer, connections))


def test_a_caller_that_leaves_takes_the_run_along_unless_detached(house: House) -> None:
    leaving = house.execute("wait")
    (uid,) = house.running()
    leaving.close()
    ended = house.ended(uid)
    assert (ended["outcome"], house.agent.cancelled[uid]) == ("cancelled", "its caller has left")
    leaving = house.execute("wait", detached=True)
    (other,) = house.running()
    leaving.close()
    assert answer(house.execute("print(1)"))["success"]  # what came after is through
    assert house.run(other)["desired"] == "run"


def test_callers_that_leave_at_any_moment_leave_no_run_behind(house: House) -> None:
    for _ in range(10):
        count = len(house.agent.taken)
        leaving = house.execute("wait")
        wait_for(lambda count=count: len(house.agent.taken) > count, "its node has it", every=0.001)
        leaving.close()  # the answer may have begun, or not
    wait_for(lambda: not house.agent.jobs, "all were cancelled")


# Streams ------------------------------------------------------------------------------------


def test_a_stream_goes_on_after_the_last_event(house: House) -> None:
    connection = house.execute("wait", detached=True)
    (uid,) = house.running()
    first = house.open("GET", f"/api/runs/{uid}/stream").getresponse()
    assert first.headers["Content-Type"] == "text/event-stream"
    assert "Content-Encoding" not in first.headers
    seen = until(first, "output")
    assert json.loads(seen["data"])["data"] == "YmVnaW5zCg=="
    first.close()
    house.agent.out(uid, "more\n", fd=2)
    second = house.open("GET", f"/api/runs/{uid}/stream", **{"Last-Event-ID": seen["id"]}).getresponse()
    assert json.loads(until(second, "output")["data"])["fd"] == 2
    house.agent.finish(uid, "exit", exit_code=3)
    told = json.loads(until(second, "end")["data"])["ending"]
    assert (told["outcome"], told["exit_code"]) == ("exit", 3)
    assert second.read() == b""
    assert answer(connection)["exit_code"] == 3
    # Whoever comes after the end gets it all.
    third = house.open("GET", f"/api/runs/{uid}/stream").getresponse()
    assert until(third, "output")
    assert until(third, "end")


# Faults -------------------------------------------------------------------------------------


def test_an_end_that_the_stream_never_had_comes_from_the_row(house: House) -> None:
    connection = house.execute("wait")
    (uid,) = house.running()
    house.agent.finish(uid, stdout="by the row", stream=False)
    assert answer(connection)["output"] == "by the row"


def test_redis_gone_in_the_middle_loses_no_end(house: House) -> None:
    connection = house.execute("wait")
    (uid,) = house.running()
    house.web.redis.kill()
    other = house.execute("print(1)").getresponse()  # stored, and told to the node once that can be
    assert other.status == 200
    house.agent.finish(uid, stdout="through it all")
    house.web.redis.start()
    assert answer(connection)["output"] == "through it all"
    assert house.ended(uid)["outcome"] == "ok"
    assert json.loads(other.read())["success"]


def test_control_killed_in_the_middle_ends_the_run_once(house: House) -> None:
    connection = house.execute("wait")
    (uid,) = house.running()
    house.control_kill()
    house.agent.finish(uid, stdout="meanwhile")
    assert answer(connection)["output"] == "meanwhile"  # the stream has it before control
    assert house.run(uid)["state"] != "ended"
    house.control_start()
    assert house.ended(uid)["outcome"] == "ok"
    status, page = house.call("GET", "/api/runs?tool=code_execution&state=ended")
    assert status == 200
    assert [row["uid"] for row in page["results"]].count(uid) == 1


def test_a_nudge_that_was_lost_is_sent_again(house: House) -> None:
    house.agent.hold()
    connection = house.execute("print(1)", detached=True)
    with house.web.redis.client() as client:
        wait_for(lambda: client.delete("sparkweb:node.spark-1"), "the nudge is lost")
    house.agent.go_on()
    assert answer(connection)["success"]


# Files ---------------------------------------------------------------------------------------


def piece(run: str, data: bytes, **changes: Any) -> bytes:
    header = {
        "run": run,
        "kind": "file",
        "name": "a.txt",
        "media_type": "text/plain",
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "offset": 0,
        "last": True,
        **changes,
    }
    return json.dumps(header).encode() + b"\n" + data


def test_arguments_folder_and_files_travel_by_http(house: House) -> None:
    code = "wait #" + "x" * 100_000
    connection = house.execute(code, detached=True)
    (uid,) = house.running()
    job = house.agent.jobs[uid]
    assert job.arguments is None
    told = house.agent.web.fetch(
        "/node/tool-arguments/", json.dumps({"run": uid, "generation": 1}).encode(), 5_000_000
    )
    assert json.loads(told.data)["code"] == code
    question = json.dumps({"digest": job.tool_digest}).encode()
    folder = house.agent.web.fetch("/node/tool-folder/", question, 5_000_000)
    assert (folder.status, b"TOOL.md" in folder.data) == (200, True)
    assert house.agent.web.post("/node/tool-artifacts/", piece(uid, b"a" * 4_000_000)).status == 201
    artifact = {"name": "a.txt", "size_bytes": 4_000_000}
    house.agent.finish(uid, artifacts=[artifact])
    (shown,) = answer(connection)["artifacts"]
    response = house.open("GET", shown["url"]).getresponse()
    assert len(response.read()) == 4_000_000
    assert response.headers["Content-Disposition"] == 'attachment; filename="a.txt"'
    assert "sandbox" in response.headers["Content-Security-Policy"]
