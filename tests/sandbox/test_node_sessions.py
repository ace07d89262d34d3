"""Sessions on a node, with real containers and mounts: state, files, idling, ends, and what comes late."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox_app.agent_sessions import SessionDesk
from sandbox_app.job import SessionJob
from sandbox_app.node import mounts
from tests.support.sandbox_image import sandbox_image
from tests.support.sandbox_node import SandboxNode, session_job
from tests.support.stack import wait_for
from tests.support.workspaces import workspaces_closed, workspaces_require

pytestmark = pytest.mark.docker

COUNT = "__session__['n'] = __session__.get('n', 0) + 1; print(__session__['n'])"
KEEP = "open('/workspace/kept', 'a').write('x'); print(open('/workspace/kept').read())"


@pytest.fixture
def node(docker_host: str, tmp_path: Path, installation: str) -> Iterator[SandboxNode]:
    workspaces_require(tmp_path)
    sandbox_image(docker_host)
    made = SandboxNode(docker_host, tmp_path, installation)
    yield made
    made.close()
    workspaces_closed(tmp_path / "workspaces")


def said(node: SandboxNode, code: str, session: SessionJob) -> str:
    ending = node.do(code, session=session)
    assert ending["outcome"] == "ok", ending
    return str(ending["stdout"]).strip()


def ready(node: SandboxNode, session: SessionJob) -> list[dict[str, Any]]:
    facts = [json.loads(fact.payload) for fact in node.journal.unacknowledged(limit=1000)]
    told = [fact["data"] for fact in facts if fact["verb"] == "tool_session_ready"]
    return [data for data in told if data["session"] == session.uid]


def test_state_and_files_are_a_sessions_own(node: SandboxNode) -> None:
    mine, other = session_job(), session_job()
    assert [said(node, COUNT, mine) for _ in range(2)] == ["1", "2"]
    assert said(node, COUNT, other) == "1"
    assert said(node, KEEP, mine) == "x"
    assert said(node, "import os; print(os.listdir('/workspace'))", other) == "[]"
    assert ready(node, mine) == [
        {
            "session": mine.uid, "generation": 1, "tool": "exec", "workspace": "ext4", "note": "",
            "size_bytes": mine.size_bytes,
        }
    ]  # fmt: skip
    listed = {entry["session"]: entry["workspace"] for entry in node.sandbox.section()["sessions"]}
    assert listed == {mine.uid: "ext4", other.uid: "ext4"}
    with node.workspaces.files(mine.uid) as files:
        files.write_piece("up", "00000000000000aa", 0, b"from outside", last=True)
        assert files.read("kept").data == b"x"
    assert said(node, "print(open('/workspace/up').read())", mine) == "from outside"


def test_a_container_that_is_gone_takes_the_state_and_leaves_the_files(node: SandboxNode) -> None:
    session = session_job()
    assert said(node, COUNT, session) == "1"
    assert said(node, KEEP, session) == "x"
    for name in node.containers():
        node.engine.remove(name, force=True)
    wait_for(lambda: not node.containers(), "the container is gone")
    wait_for(lambda: not any(one.is_alive for one, _ in node.sandbox._held.containers()), "it is noticed")
    assert said(node, COUNT, session) == "1"
    assert said(node, KEEP, session) == "xx"
    assert len(ready(node, session)) == 2


def test_an_end_leaves_nothing_and_what_comes_late_makes_nothing(node: SandboxNode, tmp_path: Path) -> None:
    session = session_job()
    assert said(node, KEEP, session) == "x"
    desk = SessionDesk(node.workspaces, node.journal, lambda: None)  # type: ignore[arg-type,return-value]
    desk.before_end(node.sandbox.session_end)
    desk.end(session.uid, 2)
    node.wait_clean()
    assert node.workspaces.listed() == []
    assert mounts.mounts_below(tmp_path / "workspaces" / "mnt") == []
    late = node.do(KEEP, session=session)
    assert (late["outcome"], "has ended" in late["reason"]) == ("refused", True)
    assert (node.workspaces.listed(), node.containers()) == ([], [])


def test_what_idles_gives_its_container_back_and_keeps_its_files(node: SandboxNode, tmp_path: Path) -> None:
    session = session_job(idle_seconds=0)
    assert said(node, KEEP, session) == "x"
    node.wait_clean()
    wait_for(lambda: not mounts.mounts_below(tmp_path / "workspaces" / "mnt"), "it is unmounted")
    assert node.workspaces.listed() == [session.uid]
    assert said(node, KEEP, replace(session, idle_seconds=300)) == "xx"


def test_after_a_restart_the_files_are_there(
    node: SandboxNode, docker_host: str, tmp_path: Path, installation: str
) -> None:
    """The agent's containers go with it, or at its next start; an unused mount is given up."""
    session, unused = session_job(), session_job()
    assert [said(node, COUNT, one) for one in (session, unused)] == ["1", "1"]
    assert said(node, KEEP, session) == "x"
    node.sandbox.close()
    after = SandboxNode(docker_host, tmp_path, installation)
    try:
        assert said(after, COUNT, session) == "1"
        assert said(after, KEEP, session) == "xx"
        wait_for(lambda: after.workspaces.mounted() == [session.uid], "the unused one is unmounted")
        assert set(after.workspaces.listed()) == {session.uid, unused.uid}
    finally:
        after.close()
