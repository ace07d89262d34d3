"""A session from end to end: the whole product, real containers, mounts, tools and files."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sandbox_app.node import mounts
from tests.support.sandbox_image import TAG, sandbox_image
from tests.support.stack import Stack, wait_for
from tests.support.workspaces import workspaces_closed, workspaces_require

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def stack(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("sessions")
    workspaces_require(folder)
    sandbox_image(docker_host)
    none = dict.fromkeys(("POOL", "DATA_POOL", "RESERVE_MB"), "0")
    settings = {f"SPARKWEB_SANDBOX_{name}": value for name, value in {**none, "IMAGE": TAG}.items()}
    with Stack(folder, docker_host=docker_host, **settings) as running:
        running.wait_online()
        assert running.call("POST", "/api/reload")[0] == 200
        wait_for(lambda: image_seen(running), "the node tells of its image")
        yield running
    workspaces_closed(place(running))


def image_seen(stack: Stack) -> bool:
    report = stack.call("GET", "/api/nodes/spark-1/snapshot")[1]
    return bool(((report.get("report") or {}).get("sandbox") or {}).get("image", {}).get("status") == "ok")


def place(stack: Stack) -> Path:
    return stack.folder / "data" / "agent" / "spark-1" / "workspaces"


def session_begin(stack: Stack) -> str:
    status, told = stack.call("POST", "/api/sessions", {"size_mb": 64})
    assert status == 201, told
    return str(told["session_id"])


def run(stack: Stack, session: str, code: str) -> dict[str, Any]:
    body = {"args": {"code": code}, "session_id": session}
    status, told = stack.call("POST", "/api/execute/code_execution", body)
    assert status == 200, told
    return dict(told)


def said(stack: Stack, session: str, code: str) -> str:
    told = run(stack, session, code)
    assert told["success"], (told, stack.log()[-2000:])
    return str(told["output"]).strip()


def put(stack: Stack, session: str, path: str, data: bytes) -> None:
    query = urllib.parse.urlencode({"path": path})
    request = urllib.request.Request(
        f"{stack.url}/api/sessions/{session}/files?{query}", data=data, method="PUT",
        headers={"Authorization": f"Bearer {stack.key}", "Content-Type": "application/octet-stream"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def got(stack: Stack, session: str, path: str) -> bytes:
    request = urllib.request.Request(
        f"{stack.url}/api/sessions/{session}/content?{urllib.parse.urlencode({'path': path})}",
        headers={"Authorization": f"Bearer {stack.key}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        return bytes(answer.read())


def test_variables_and_files_stay_in_their_session(stack: Stack) -> None:
    mine, other = session_begin(stack), session_begin(stack)
    assert said(stack, mine, "x = 41; print('kept')") == "kept"
    assert said(stack, mine, "print(x + 1)") == "42"
    foreign = run(stack, other, "print(x)")
    assert (foreign["success"], "NameError" in f"{foreign}") == (False, True)
    data = bytes(range(256)) * 24_000  # more than one piece
    put(stack, mine, "in.bin", data)
    code = """
data = open('/workspace/in.bin', 'rb').read()
open('/workspace/out.bin', 'wb').write(data[::-1])
print(len(data))
"""
    assert said(stack, mine, code) == str(len(data))
    assert got(stack, mine, "out.bin") == data[::-1]
    names = [row["name"] for row in stack.get(f"/api/sessions/{mine}/files")["entries"]]
    assert names == ["in.bin", "out.bin"]
    assert said(stack, other, "import os; print(os.listdir('/workspace'))") == "[]"
    for session in (mine, other):
        assert stack.call("DELETE", f"/api/sessions/{session}")[1]["state"] == "ending"
    for session in (mine, other):
        wait_for(lambda uid=session: stack.get(f"/api/sessions/{uid}")["state"] == "ended", "it is ended")
        assert not (place(stack) / "images" / f"{session}.img").exists()
        assert place(stack) / "mnt" / session not in mounts.mounts_below(place(stack) / "mnt")
    labels = [container.labels for container in stack.containers()]
    assert not [one for one in labels if one.get("sparkweb.session") in (mine, other)]
    assert run_refused(stack, mine) == "session_ended"


def run_refused(stack: Stack, session: str) -> str:
    body = {"args": {"code": "1"}, "session_id": session}
    status, told = stack.call("POST", "/api/execute/code_execution", body)
    assert status == 409, told
    return str(told["code"])


def test_values_are_kept_as_older_clients_know_them(stack: Stack) -> None:
    session = session_begin(stack)
    where = f"/api/storage/{session}"
    assert stack.call("POST", where, {"key": "colour", "value": "green"})[1]["success"] is True
    assert stack.call("POST", where, {"key": "n", "value": [1, 2]})[1]["stored"] is True
    assert stack.get(f"{where}/keys")["keys"] == ["colour", "n"]
    read = stack.call("POST", where, {"operation": "get", "key": "colour"})[1]
    assert (read["success"], read["value"]) == (True, "green")
    gone = stack.call("POST", where, {"operation": "get", "key": "none"})[1]
    assert (gone["success"], "no value named" in gone["error"]) == (False, True)
    put(stack, session, "a.txt", b"abc")
    files = stack.get(f"{where}/files")
    assert [(row["path"], row["size"]) for row in files["files"]] == [("a.txt", 3)]
    stack.call("DELETE", f"/api/sessions/{session}")


def test_an_agent_killed_between_takes_variables_and_leaves_files(stack: Stack) -> None:
    session = session_begin(stack)
    assert said(stack, session, "x = 1; open('/workspace/kept', 'w').write('kept'); print(x)") == "1"
    before = stack.get(f"/api/sessions/{session}")["containers"]["code_execution"]
    agent = stack.child("agent")
    agent.kill()
    psutil.wait_procs([agent], timeout=60)
    wait_for(lambda: stack.child("agent").pid != agent.pid and image_seen(stack), "a new agent reports")
    known = run(stack, session, "print('x' in globals(), open('/workspace/kept').read())")
    assert (known["success"], known["output"]) == (True, "False kept\n"), (known, stack.log()[-3000:])
    after = wait_for(
        lambda: (
            (now := stack.get(f"/api/sessions/{session}")["containers"]["code_execution"]) != before and now
        ),
        "the new container is told",
    )
    assert (before["count"], after["count"]) == (1, 2)
    assert got(stack, session, "kept") == b"kept"
    stack.call("DELETE", f"/api/sessions/{session}")
    wait_for(lambda: stack.get(f"/api/sessions/{session}")["state"] == "ended", "it is ended")
    assert not (place(stack) / "images" / f"{session}.img").exists()
