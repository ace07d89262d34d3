"""Tools as an owner has them: `up`, the real agent, the real engine, an image of this machine's programs."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox_image import sandbox_image
from tests.support.stack import Stack, wait_for

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def stack(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    image = sandbox_image(docker_host)
    folder: Path = tmp_path_factory.mktemp("tools")
    settings = {
        "SPARKWEB_SANDBOX_IMAGE": image,
        "SPARKWEB_SANDBOX_RESERVE_MB": "0",
        "SPARKWEB_API_RATE": "100000/min",
    }
    with Stack(folder, docker_host=docker_host, **settings) as made:
        made.wait_online()
        wait_for(lambda: call(made, "print(1)")[0] == 200, "the image is seen", every=0.5)
        yield made


def call(stack: Stack, code: str, **body: Any) -> tuple[int, Any]:
    return stack.call("POST", "/api/execute/code_execution", {"args": {"code": code}, **body})


def done(stack: Stack, code: str, **body: Any) -> dict[str, Any]:
    status, found = call(stack, code, **body)
    assert status == 200, found
    return found  # type: ignore[no-any-return]


def row(stack: Stack, uid: str) -> dict[str, Any]:
    """The run once control has its end."""

    def ended() -> Any:
        run = stack.get(f"/api/runs/{uid}")
        return run if run["state"] == "ended" else None

    return wait_for(ended, "the end is stored")  # type: ignore[no-any-return]


def running(stack: Stack) -> str:
    """The uid of the run that is under way, once there is one."""
    runs = wait_for(lambda: stack.get("/api/runs?state=running")["results"], "it runs")
    return runs[0]["uid"]  # type: ignore[no-any-return]


def fetch(stack: Stack, path: str) -> bytes:
    request = urllib.request.Request(stack.url + path, headers={"Authorization": f"Bearer {stack.key}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def clean(stack: Stack) -> bool:
    """No container of a run is left; those that wait may be there."""
    left = [one for one in stack.containers() if one.labels.get("sparkweb.sandbox") == "run"]
    return not left


def test_a_program_is_run_and_its_record_is_whole(stack: Stack) -> None:
    found = done(stack, "import sys\nprint(6 * 7)\nprint('why', file=sys.stderr)")
    assert (found["success"], found["output"], found["stderr"], found["error"]) == (
        True,
        "42\n",
        "why\n",
        None,
    )
    run = row(stack, found["exec_id"])
    assert (run["outcome"], run["exit_code"], run["stdout_bytes"]) == ("ok", 0, 3)
    assert run["limits"]
    assert run["image_digest"]
    wait_for(lambda: clean(stack), "its container is gone")


def test_each_death_has_its_name(stack: Stack) -> None:
    found = done(stack, "raise SystemExit(3)")
    assert (found["success"], found["outcome"], found["exit_code"]) == (False, "exit", 3)
    found = done(stack, "x = bytearray(10**10)")
    assert found["outcome"] in ("memory", "exit")
    assert row(stack, found["exec_id"])["live"] is False


def test_a_file_that_is_left_can_be_fetched(stack: Stack) -> None:
    code = "import os\nopen(os.environ['ARTIFACTS'] + '/a.bin', 'wb').write(bytes(range(256)) * 20000)"
    found = done(stack, code)
    (artifact,) = found["artifacts"]
    assert (artifact["name"], artifact["size_bytes"]) == ("a.bin", 5_120_000)
    assert fetch(stack, artifact["url"]) == bytes(range(256)) * 20000


def test_long_output_is_kept_whole_and_paged(stack: Stack) -> None:
    found = done(stack, "for n in range(100000): print(n)")
    uid, expected = found["exec_id"], "".join(f"{n}\n" for n in range(100000))
    assert found["truncated"]
    wait_for(lambda: stack.get(f"/api/runs/{uid}/artifacts"), "the whole output is there")
    text, at = "", 0
    while at is not None:
        page = stack.get(f"/api/runs/{uid}/output?offset={at}&limit=262144")
        text, at = text + page["text"], page["next_offset"]
    assert text == expected


def test_output_comes_while_it_runs_and_a_caller_that_leaves_ends_it(stack: Stack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    headers = {"Authorization": f"Bearer {stack.key}", "Content-Type": "application/json"}
    code = "import time\nprint('begins', flush=True)\ntime.sleep(25)"
    connection.request("POST", "/api/execute/code_execution", json.dumps({"args": {"code": code}}), headers)
    uid = running(stack)
    stream = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    stream.request("GET", f"/api/runs/{uid}/stream", headers=headers)
    response = stream.getresponse()
    while not (line := response.readline()).startswith(b"data:") or b"YmVnaW5zCg==" not in line:
        assert line, "the stream ended"
    connection.close()
    stream.close()
    run = row(stack, uid)
    assert (run["outcome"], run["reason"]) == ("cancelled", "its caller has left")
    wait_for(lambda: clean(stack), "its container is gone")


def test_many_at_once_are_all_answered(stack: Stack) -> None:
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda n: done(stack, f"print({n})"), range(12)))
    assert [one["output"] for one in found] == [f"{n}\n" for n in range(12)]
    assert len({one["exec_id"] for one in found}) == 12


def test_an_agent_killed_in_the_middle_leaves_a_closed_record(stack: Stack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=120)
    headers = {"Authorization": f"Bearer {stack.key}", "Content-Type": "application/json"}
    body = json.dumps({"args": {"code": "import time\ntime.sleep(20)"}})
    connection.request("POST", "/api/execute/code_execution", body, headers)
    uid = running(stack)
    stack.child("agent").send_signal(signal.SIGKILL)
    found = json.loads(connection.getresponse().read())
    assert (found["exec_id"], found["outcome"]) == (uid, "lost")
    assert row(stack, uid)["outcome"] == "lost"
    wait_for(lambda: clean(stack), "its container is gone")
    wait_for(lambda: call(stack, "print(2)")[0] == 200, "the next one is run", every=0.5)
    assert done(stack, "print(2)")["output"] == "2\n"
