"""Exports: the same bytes each time, whole or not at all, only what changed, nothing that leads elsewhere."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from tests.support.claude_code import Transcript
from transcripts_app.archive.models import Session
from transcripts_app.export.names import Names, safe_part, safe_path
from transcripts_app.export.out import ExportRefused, FolderOut, ZipOut, export_verify, manifest_read
from transcripts_app.export.run import Result, export_run
from transcripts_app.export.selection import Format, Selection, What, sessions_selected
from transcripts_app.importing.ledger import Count

Read = Callable[[], Count]
FORMATS = list(Format.values)


def talk(root: Path, text: str = "Make the basket count right", **options: Any) -> Transcript:
    """A session with a call, a sub-agent and a large output."""
    one = Transcript(root, **options)
    one.prompt(text)
    one.answer("I look at `basket.py` first.", "```python\nprint('<b>')\n```")
    call = one.call("Bash", command="grep -n count basket.py")
    one.result(call, "12: count = 0\n<system-reminder>x</system-reminder>")
    task = one.call("Task", description="Find callers", prompt="Who calls count?")
    one.result(task, "three do", told={"agentId": "abc123", "content": "three do"})
    one.answer("Done: basketCount is right.")
    one.write()
    agent = Transcript(root, one.cwd, one.session_id, agent="abc123")
    agent.prompt("Who calls count?")
    agent.answer("checkout.py does")
    agent.write()
    meta = agent.path.with_suffix(".meta.json")
    meta.write_text(json.dumps({"agentType": "Explore", "toolUseId": task, "description": "Find callers"}))
    output = one.path.parent / one.session_id / "tool-results" / f"{call}.txt"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("zzlargeoutput\n" * 50)
    return one


def tree(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def export(folder: Path, format: str, selection: Selection | None = None, **options: Any) -> Result:
    out = ZipOut(folder) if folder.suffix == ".zip" else FolderOut(folder)
    return export_run(sessions_selected(selection or Selection()), out, format=format, **options)


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_archive_gives_the_same_bytes(
    read: Read, projects: Path, tmp_path: Path, format: str
) -> None:
    talk(projects)
    talk(projects, "Another one", cwd="/home/ada/blog")
    read()
    export(tmp_path / "one", format)
    export(tmp_path / "two", format, incremental=False)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    export(tmp_path / "one.zip", format)
    export(tmp_path / "two.zip", format)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert export_verify(tmp_path / "one") == export_verify(tmp_path / "one.zip") == []


@pytest.mark.parametrize("format", FORMATS)
def test_verify_finds_one_changed_byte(read: Read, projects: Path, tmp_path: Path, format: str) -> None:
    talk(projects)
    read()
    export(tmp_path / "out", format)
    name = max(manifest_read(tmp_path / "out")["files"])
    data = bytearray((tmp_path / "out" / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "out" / name).write_bytes(data)
    (tmp_path / "out" / "more.txt").write_text("x")
    assert export_verify(tmp_path / "out") == ["more.txt is not in the manifest", f"{name} was changed"]
    (tmp_path / "out" / name).unlink()
    assert f"{name} is missing" in export_verify(tmp_path / "out")
    assert "no MANIFEST" in export_verify(projects)[0]


def test_jsonl_is_the_files_as_they_were(read: Read, projects: Path, tmp_path: Path) -> None:
    talk(projects)
    read()
    export(tmp_path / "out", "jsonl")
    assert tree(tmp_path / "out" / "projects") == {
        name: json.dumps(json.loads(data), separators=(",", ":"), sort_keys=True).encode()
        if "meta" in name
        else data
        for name, data in tree(projects).items()
    }
    assert manifest_read(tmp_path / "out")["redacted"] is False


@pytest.mark.parametrize("format", FORMATS)
def test_only_what_changed_is_written_again(read: Read, projects: Path, tmp_path: Path, format: str) -> None:
    talk(projects)
    other = talk(projects, "Another one", cwd="/home/ada/blog")
    read()
    out = tmp_path / "out"
    assert export(out, format) == Result(2, 2, False)
    assert export(out, format) == Result(2, 0, True)
    other.prompt("zzmore")
    other.write()
    read()
    assert export(out, format) == Result(2, 1, False)
    export(tmp_path / "fresh", format)
    assert tree(out) == tree(tmp_path / "fresh")
    assert any(b"zzmore" in data for data in tree(out).values())
    assert export_verify(out) == []


def test_what_was_there_stays_when_an_export_ends_early(read: Read, projects: Path, tmp_path: Path) -> None:
    one = talk(projects)
    read()
    out = tmp_path / "out"
    export(out, "html")
    before = tree(out)
    one.prompt("More")
    one.write()
    read()

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(out, "html", progress=stop)
    assert tree(out) == before
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(ExportRefused, match="choose another folder"):
        FolderOut(tmp_path / "mine")


def test_html_has_every_session_agent_and_output(read: Read, projects: Path, tmp_path: Path) -> None:
    talk(projects)
    read()
    export(tmp_path / "out", "html")
    key = Session.objects.get().key
    folder = tmp_path / "out" / "sessions" / key
    page = (folder / "index.html").read_text()
    assert "Make the basket count right" in page
    assert 'href="a1.html"' in page
    assert "Explore · Find callers" in page
    assert "checkout.py does" in (folder / "a1.html").read_text()
    assert "zzlargeoutput" in (folder / "o1.html").read_text()
    assert f'href="sessions/{key}/index.html"' in (tmp_path / "out" / "index.html").read_text()
    everything = b"".join(tree(tmp_path / "out").values())
    assert b"http://" not in everything.replace(b"http://www.w3.org", b"")
    assert b"@font-face" not in everything


def test_json_and_markdown_say_it_all(read: Read, projects: Path, tmp_path: Path) -> None:
    talk(projects)
    read()
    key = Session.objects.get().key
    export(tmp_path / "json", "json")
    told = json.loads((tmp_path / "json" / "sessions" / f"{key}.json").read_text())
    assert told["schema"] == "sparkweb-transcript-1"
    assert [one["role"] for one in told["files"]] == ["session", "agent", "result"]
    assert len(told["files"][0]["records"]) == 7
    assert told["files"][0]["records"][4]["agents"] == ["a1"]
    index = json.loads((tmp_path / "json" / "index.json").read_text())
    assert [one["title"] for one in index["sessions"]] == ["Make the basket count right"]
    export(tmp_path / "md", "markdown")
    text = (tmp_path / "md" / "sessions" / f"{key}.md").read_text()
    for words in (
        "## Prompt",
        "### Bash",
        "grep -n count",
        "12: count = 0",
        "print('<b>')",
        "checkout.py does",
    ):
        assert words in text


def test_selections(read: Read, projects: Path, tmp_path: Path) -> None:
    talk(projects)
    talk(projects, "Another zebra", cwd="/home/ada/blog")
    read()
    shop = Session.objects.get(project__name="shop")
    found = {
        What.PROJECT: Selection(What.PROJECT, shop.project.key),
        What.SESSION: Selection(What.SESSION, shop.key),
        What.SEARCH: Selection(What.SEARCH, query="zebra"),
    }
    keys = {what: [one.key for one in sessions_selected(one)] for what, one in found.items()}
    other = Session.objects.get(project__name="blog").key
    assert keys == {What.PROJECT: [shop.key], What.SESSION: [shop.key], What.SEARCH: [other]}
    called = Selection(What.SEARCH, query="tool:Bash project:shop grep")
    assert [one.key for one in sessions_selected(called)] == [shop.key]
    for wrong in (
        Selection(What.SESSION, "x"),
        Selection(What.PROJECT, "x"),
        Selection(What.SEARCH, query="qqq"),
        Selection(What.SEARCH, query=""),
        Selection(What.SEARCH, query="before:never"),
    ):
        with pytest.raises(ExportRefused):
            sessions_selected(wrong)


def test_the_command(read: Read, projects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk(projects)
    read()
    out = tmp_path / "out"
    call_command("export_transcripts", "--output", str(out))
    call_command("export_transcripts", "--output", str(out))
    call_command("export_transcripts", "--verify", str(out))
    told = capsys.readouterr().out
    assert "1 sessions, 1 written" in told
    assert "nothing changed" in told
    call_command("export_transcripts", "-o", str(tmp_path / "a.zip"), "--format", "json", "--project", "shop",
                 "--redact", "sharing")  # fmt: skip
    assert zipfile.ZipFile(tmp_path / "a.zip").testzip() is None
    (out / "index.html").write_text("x")
    for wrong in (["--verify", str(out)], ["--session", "nothing", "-o", str(out)],
                  ["--redact", "nothing", "-o", str(out)], ["-o", str(projects)]):  # fmt: skip
        with pytest.raises(CommandError):
            call_command("export_transcripts", *wrong)


HOSTILE = ("../../etc/passwd", "/etc/passwd", "a/../../b", "x\0y", "con", "a\\..\\b", "..", "~root",
           "\u202egnp.exe",
           "x" * 400, "nul.txt", " . ", "a\nb", "é" * 200)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_inside(name: str, tmp_path: Path) -> None:
    path = safe_path(name)
    assert (tmp_path / path).resolve().is_relative_to(tmp_path)
    assert path == safe_path(name)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("x")


@given(st.text(max_size=300))
def test_no_name_leads_elsewhere(name: str) -> None:
    part = safe_part(name)
    assert part not in ("", ".", "..")
    assert not set(part) & set('/\\:*?"<>|\0\n')
    assert len(part.encode()) <= 140
    names = Names()
    assert names.once(part).casefold() != names.once(part.upper()).casefold()


def test_hostile_ids_and_titles_name_no_file(read: Read, projects: Path, tmp_path: Path) -> None:
    folder = projects / "-home-ada-shop"
    folder.mkdir()
    one = Transcript(projects, session_id="..\\..\\evil <img src=x>")
    one.prompt("../../../../tmp/evil")
    one.path = folder / "..\\..\\evil <img src=x>.jsonl"
    one.write()
    read()
    for format in FORMATS:
        export(tmp_path / format, format)
        for name in tree(tmp_path / format):
            assert not set(name) & set('\\<>:"|?*')
            assert ".." not in name.split("/")
