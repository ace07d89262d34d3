"""What a node's agent would leave behind: containers of ended sessions, marks of runs, folders of tools."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from sandbox_app.job import Policy, SessionJob
from sandbox_app.node import ledger as ledger_module
from sandbox_app.node.folders import ToolFolders
from sandbox_app.node.held import Held, HeldContainers
from sandbox_app.node.ledger import Ledger
from sandbox_app.node.pool import PoolKey
from sandbox_app.node.workspaces import WorkspaceRefused

SESSION = SessionJob("11111111-2222-4333-8444-555555555555", 2**20, 16, 60)


def test_a_session_that_ends_while_its_container_comes_up_leaves_none() -> None:
    ended, discarded, told = threading.Event(), [], []
    container = Mock()

    def launch(*_: Any) -> Any:
        ended.set()
        places.end(SESSION.uid)  # as the command does, once the fence is up
        return container

    def tell(verb: str, _data: dict[str, Any]) -> None:
        told.append(verb)

    places = HeldContainers(Mock(), launch, discarded.append, tell, lambda *_: not ended.is_set())
    job = Mock(policy=Policy("image:1"), tool="code", tool_digest="d")
    with pytest.raises(WorkspaceRefused):
        places.open(places.hold(job, SESSION))
    assert (discarded, told, places.containers()) == ([container], [], [])


def test_a_container_whose_place_went_meanwhile_is_found_again() -> None:
    container = Mock()
    places = HeldContainers(Mock(), lambda *_: container, Mock(), Mock(), lambda *_: True)
    held = Held(SESSION, PoolKey(Policy("image:1"), "code", "d"))  # its place was given up for idling
    assert places.open(held) == (container, False)
    assert places.containers() == [(container, held)]


def test_marks_of_runs_are_forgotten_by_an_agent_that_is_never_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "FORGET_EVERY", 2)
    ledger = Ledger(tmp_path)
    ledger.begin("old", {})
    ledger.end("old")
    os.utime(tmp_path / "old.ended", (0, 0))
    ledger.begin("new", {})
    ledger.end("new")
    assert (ledger.knows("old"), ledger.knows("new")) == (False, True)


def test_folders_of_tools_that_are_not_used_any_more_go(tmp_path: Path) -> None:
    old, used = "a" * 64, "b" * 64
    for digest in (old, used):
        (tmp_path / digest).mkdir()
        os.utime(tmp_path / digest, (0, 0))
    folders = ToolFolders(tmp_path, Mock())
    folders.folder(used)
    folders.forget()
    assert [path.name for path in tmp_path.iterdir()] == [used]
