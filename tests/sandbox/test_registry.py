"""Tools on disk into rows: changed, broken, vanished; the owner's before the shipped; kept by digest."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command

from sandbox_app import registry
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models import Tool, ToolRun
from sandbox_app.registry import folder_digest, folder_tar, tools_load
from sandbox_app.selectors_tools import tools_usable
from sandbox_app.tool_changes import tool_change, tool_forget
from sandbox_app.toolfile import policy_of
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import AuditEntry

ACTOR = Actor(None, "ada", "page")
SHIPPED = ["bash_command", "code_execution", "data_storage", "file_analysis", "web_fetch", "web_search"]


@pytest.fixture
def home(db: None, tmp_path: Path, settings: Any) -> Path:
    """The owner's folder of tools, in a data folder of this test's own."""
    settings.DATA_DIR = tmp_path
    settings.TOOLS_DIR = tmp_path / "tools"
    settings.TOOLS_DIR.mkdir()
    return Path(settings.TOOLS_DIR)


def write(home: Path, folder: str, *, name: str | None = None, run: str = "print(1)", **keys: Any) -> Path:
    made = home / folder
    made.mkdir(exist_ok=True)
    lines = {"name": name or folder, "description": f"Does {folder}", "runner": "run.py", **keys}
    front = "\n".join(f"{key}: {value}" for key, value in lines.items())
    (made / "TOOL.md").write_text(f"---\n{front}\n---\nUse it.\n")
    (made / "run.py").write_text(run)
    return made


def row(name: str) -> Tool:
    return Tool.objects.get(name=name)


def test_shipped_tools_and_the_owners_are_loaded_once(home: Path) -> None:
    folder = write(home, "echo", approval="true", role="admin", parallel=2, sandbox="{timeout: 7}")
    report = tools_load(ACTOR)
    assert sorted(report.added) == sorted([*SHIPPED, "echo"])
    assert report.sentence == "7 tools: 7 added."
    echo = row("echo")
    assert (echo.role, echo.approval, echo.parallel_limit, echo.usable) == ("admin", True, 2, True)
    assert echo.digest == folder_digest(folder)
    assert AuditEntry.objects.get(action="tools_load").actor_label == "ada"
    again = tools_load(ACTOR)
    assert (again.added, again.changed, len(again.unchanged)) == ([], [], 7)
    assert AuditEntry.objects.filter(action="tools_load").count() == 1


def test_a_changed_tool_is_loaded_and_the_files_of_before_are_kept_for_runs(home: Path) -> None:
    write(home, "echo", run="print('old')")
    tools_load()
    before = row("echo").digest
    ToolRun.objects.create(tool=row("echo"), tool_name="echo", tool_digest=before)
    write(home, "echo", run="print('new')")
    assert tools_load().changed == ["echo"]
    after = row("echo").digest
    for digest, words in ((before, b"print('old')"), (after, b"print('new')")):
        tar = folder_tar(digest)
        assert hashlib.sha256(tar).hexdigest() == digest
        with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
            assert sorted(opened.getnames()) == ["TOOL.md", "run.py"]
            found = opened.extractfile("run.py")
            assert found and found.read() == words


def test_files_that_nothing_names_any_more_are_dropped_after_a_while(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home, "echo", run="print('old')")
    tools_load()
    before = row("echo").digest
    write(home, "echo", run="print('new')")
    tools_load()
    assert folder_tar(before)  # a run may be on its way
    monkeypatch.setattr(registry, "KEEP_SECONDS", -1)
    tools_load()
    assert folder_tar(row("echo").digest)
    with pytest.raises(ToolRefused, match="is kept"):
        folder_tar(before)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "a" * 63, "A" * 64, "0" * 64])
def test_a_digest_is_no_path(digest: str, home: Path) -> None:
    with pytest.raises(ToolRefused):
        folder_tar(digest)


def test_kept_files_that_were_changed_are_not_handed_out(home: Path) -> None:
    write(home, "echo")
    tools_load()
    digest = row("echo").digest
    (home.parent / "tool-folders" / digest).write_bytes(b"evil")
    with pytest.raises(ToolRefused, match="has been changed"):
        folder_tar(digest)
    tools_load()  # and it is written anew
    assert hashlib.sha256(folder_tar(digest)).hexdigest() == digest


def test_a_broken_tool_keeps_its_row_with_the_reason_until_it_is_mended(home: Path) -> None:
    write(home, "echo")
    tools_load()
    write(home, "echo", privileged="true")
    report = tools_load()
    assert "line 5: privileged: there is no such key" in report.refused["echo"]
    assert report.usable_count == 6
    echo = row("echo")
    assert (echo.usable, echo.description) == (False, "Does echo")
    assert "echo" not in {tool.name for tool in tools_usable()}
    tools_load()  # nothing new to tell
    assert AuditEntry.objects.filter(action="tools_load").count() == 2
    write(home, "echo")
    assert tools_load().changed == ["echo"]
    assert row("echo").usable


def test_a_broken_tool_is_found_by_its_folder_whatever_it_is_called(home: Path) -> None:
    write(home, "folder", name="echo")
    tools_load()
    (home / "folder" / "TOOL.md").write_bytes(b"---\n[\xff\n---\n")
    tools_load()
    assert "not UTF-8" in row("echo").problem
    assert not Tool.objects.filter(name="folder").exists()


def test_a_tool_that_vanished_is_missing_and_comes_back(home: Path) -> None:
    folder = write(home, "echo")
    tools_load()
    shutil.rmtree(folder)
    assert tools_load().missing == ["echo"]
    assert (row("echo").missing, row("echo").usable) == (True, False)
    assert tools_load().missing == []
    write(home, "echo")
    assert tools_load().changed == ["echo"]
    assert row("echo").usable
    shutil.rmtree(folder)
    with pytest.raises(ToolRefused, match="has its folder"):
        tool_forget(tool=row("echo"), actor=ACTOR)
    tools_load()
    tool_forget(tool=row("echo"), actor=ACTOR)
    assert not Tool.objects.filter(name="echo").exists()


def test_the_owners_folder_goes_before_the_shipped_one(home: Path) -> None:
    write(home, "mine", name="code_execution")
    tools_load()
    assert row("code_execution").folder == str(home / "mine")
    shutil.rmtree(home / "mine")
    tools_load()
    assert row("code_execution").folder.endswith("tools/code_execution")
    assert row("code_execution").usable


def test_two_folders_of_one_name_are_told_and_a_broken_one_displaces_none(home: Path) -> None:
    write(home, "a", name="echo")
    write(home, "b", name="echo")
    assert tools_load().refused == {"echo": "two folders, a and b, have this name"}
    shutil.rmtree(home / "a")
    write(home, "c").joinpath("TOOL.md").write_text("nonsense")
    (home / "echo").mkdir()
    (home / "echo" / "TOOL.md").write_text("nonsense")
    report = tools_load()
    assert row("echo").usable
    assert set(report.refused) == {"c", "echo_"}


def test_odd_things_in_the_folder_are_no_tools(home: Path, tmp_path: Path) -> None:
    (home / "a file").write_text("x")
    (home / ".hidden").mkdir()
    (home / ".hidden" / "TOOL.md").write_text("x")
    (home / "no tool").mkdir()
    (home / "odd é name").mkdir()
    (home / "odd é name" / "TOOL.md").symlink_to("/etc/passwd")
    report = tools_load()
    assert report.refused == {"odd___name": "TOOL.md is a link; put the file itself there"}
    shutil.rmtree(home)
    assert tools_load().missing == ["odd___name"]


# What the owner decides ------------------------------------------------------------


def test_decisions_outlive_a_reload_and_can_be_taken_back(home: Path) -> None:
    write(home, "echo", approval="true")
    tools_load()
    changes = {"enabled": False, "approval": False, "role": "admin", "parallel": 1, "timeout_seconds": 3,
               "memory_bytes": 2**30, "cpu_percent": 50}  # fmt: skip
    tool_change(tool=row("echo"), actor=ACTOR, changes=changes)
    write(home, "echo", approval="true", run="print('new')")
    tools_load()
    echo = row("echo")
    assert (echo.enabled, echo.approval, echo.role, echo.parallel_limit) == (False, False, "admin", 1)
    policy = policy_of(echo.definition, echo.overrides)
    assert (policy.timeout_seconds, policy.memory_bytes, policy.cpu_percent) == (3, 2**30, 50)
    told = AuditEntry.objects.get(action="tool_change")
    assert told.target == "echo"
    assert told.detail["changes"]["timeout_seconds"] == {"old": None, "new": 3}
    tool_change(tool=echo, actor=ACTOR, changes=dict.fromkeys(changes))
    echo = row("echo")
    assert (echo.enabled, echo.approval, echo.role, echo.overrides) == (True, True, "operator", {})
    tool_change(tool=echo, actor=ACTOR, changes={"enabled": None})
    assert AuditEntry.objects.filter(action="tool_change").count() == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("enabled", "yes"), ("approval", 1), ("role", "viewer"), ("role", "root"), ("parallel", 0),
        ("parallel", True), ("timeout_seconds", 0), ("timeout_seconds", "5"), ("memory_bytes", 1),
        ("memory_bytes", "256m"), ("cpu_percent", 1), ("egress", ["example.com"]), ("egress", "x"),
        ("privileged", True), ("image", "evil"), ("digest", "x"), ("timeout_seconds", 10**30),
    ],
)  # fmt: skip
def test_a_decision_that_is_none_is_refused_by_name(key: str, value: Any, home: Path) -> None:
    write(home, "echo")
    tools_load()
    with pytest.raises(ValidationError) as error:
        tool_change(tool=row("echo"), actor=ACTOR, changes={"cpu_percent": 20, key: value})
    assert key in error.value.message_dict
    assert row("echo").overrides == {}


def test_the_hosts_of_a_fetching_tool_are_the_owners_to_choose(home: Path) -> None:
    tools_load()
    tool_change(tool=row("web_fetch"), actor=ACTOR, changes={"egress": ["example.com", "*.example.org"]})
    fetch = row("web_fetch")
    assert policy_of(fetch.definition, fetch.overrides).egress == ("example.com", "*.example.org")
    for wrong in (["http://x"], ["a b"], [3], ["x" * 300], ["*.*"], ["-a.com"], [""]):
        with pytest.raises(ValidationError, match="host names"):
            tool_change(tool=fetch, actor=ACTOR, changes={"egress": wrong})


def test_the_command_says_what_came_of_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(home, "echo", privileged="true")
    call_command("tools_load")
    said = capsys.readouterr().out
    assert "6 tools: 7 added, 1 refused." in said
    assert "echo is refused:\n  TOOL.md, line 5: privileged" in said
