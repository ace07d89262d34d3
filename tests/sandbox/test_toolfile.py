"""TOOL.md in, definition out: what is taken, and what is refused by key and line (hostile rows 57 and 62)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sandbox_app.job import Policy
from sandbox_app.tool_folder import FolderRefused, folder_digest, folder_read
from sandbox_app.toolfile import RESERVED, policy_of, runner_of, tool_parse
from sandbox_app.urls import urlpatterns
from sparkweb.yaml_file import YamlRefused
from tests.sandbox.shipped import TOOLS

# As the older sandbox's owners wrote them, with a runner.
OWNERS = """\
---
name: code_execution
description: Run code
version: 1.0.0
enabled: true
runner: run.py
sandbox: {image: sandbox-executor:latest, timeout: 30, memory: 256m, cpu_percent: 50, network: false,
          read_only: true, mount_workspace: false}
parameters:
  - {name: code, type: string, required: true, description: The code}
  - {name: language, type: string, enum: [python, bash, node], default: python, description: Its language}
examples:
  - {input: {code: "print(1)", language: python}, description: One}
---
# How to use it

Write **code**.
"""
FILES = {"TOOL.md", "run.py", "lib/more.sh"}


def parse(text: str) -> dict[str, Any]:
    return tool_parse(text.encode(), FILES)


def tool(**keys: Any) -> str:
    """A TOOL.md with these lines instead of the usual ones; None leaves one out."""
    lines = {"name": "echo", "description": "Says it", "runner": "run.py", **keys}
    front = [f"{key}: {value}" for key, value in lines.items() if value is not None]
    return "\n".join(["---", *front, "---", "Body"])


def test_the_format_of_before_is_read() -> None:
    definition = parse(OWNERS)
    assert definition["name"] == "code_execution"
    assert definition["instructions"].startswith("# How to use it")
    assert [parameter["name"] for parameter in definition["parameters"]] == ["code", "language"]
    assert runner_of(definition) == ("container", "run.py")
    policy = policy_of(definition, {})
    assert (policy.timeout_seconds, policy.memory_bytes, policy.cpu_percent) == (30, 256 * 2**20, 50)
    assert (policy.image, policy.workspace, policy.egress) == ("sparkweb-sandbox:1", False, ())


def test_the_owners_limits_go_before_the_files() -> None:
    overrides = {"timeout_seconds": 5, "memory_bytes": 2**30, "egress": ["example.com"]}
    policy = policy_of(parse(OWNERS), overrides)
    assert (policy.timeout_seconds, policy.memory_bytes, policy.cpu_percent) == (5, 2**30, 50)
    assert policy.egress == ("example.com",)
    assert policy_of({"egress": ["*"]}, {"egress": []}).egress == ()


def test_a_short_tool_has_the_policys_own_limits() -> None:
    assert policy_of(parse(tool()), {}) == Policy(image="sparkweb-sandbox:1")


@pytest.mark.parametrize("name", sorted(place.name for place in TOOLS.iterdir()))
def test_each_shipped_tool_is_taken(name: str) -> None:
    folder = folder_read(TOOLS / name)
    definition = tool_parse(folder.tool_file, folder.paths)
    assert definition["name"] == name
    assert definition["instructions"]
    assert len(definition["description"]) < 200
    policy_of(definition, {})


BLOCK = "sandbox:\n  "
REFUSED: dict[str, tuple[str, str]] = {
    "unknown key": (tool(privileged="true"), "line 5: privileged: there is no such key"),
    "privileged": (tool(sandbox="{privileged: true}"), "line 5: sandbox.privileged: there is no such key"),
    "volumes": (tool(sandbox="{volumes: [/:/host]}"), "sandbox.volumes: there is no such key"),
    "cap_add": (tool(sandbox="{cap_add: [ALL]}"), "sandbox.cap_add"),
    "network": (tool(sandbox="{network: true}"), "a container has no network"),
    "writable root": (tool(sandbox="{read_only: false}"), "never writable"),
    "python tag": (tool(name="!!python/object/apply:os.system ['id']"), "line 2"),
    "python name": (tool(description="!!python/name:os.system"), "is not allowed"),
    "own tag": (tool(description="!secret x"), "the tag !secret is not allowed"),
    "cycle": (tool(parameters="&a [*a]"), "contains itself"),
    "twice": ("---\nname: a\nname: b\n---\n", "line 3: the key 'name' stands here for the second time"),
    "two documents": ("---\nname: a\n--- x\nname: b\n---\n", "not valid YAML"),
    "no front matter": ("name: a\n", "between two lines of `---`"),
    "no end": ("---\nname: a\n", "between two lines of `---`"),
    "empty": ("", "between two lines of `---`"),
    "nothing in it": ("---\n---\n", "expected `name:`"),
    "a list": ("---\n- a\n---\n", "found a list"),
    "not yaml": ("---\na: [\n---\n", "not valid YAML"),
    "no name": (tool(name=None), "line 2: name: expected lower-case letters"),
    "path as name": (tool(name="../x"), "line 2: name: expected lower-case letters"),
    "page's name": (tool(name="runs"), "is the name of a page"),
    "number as name": (tool(name="5"), "found the number 5"),
    "long name": (tool(name="a" * 65), "at most 64"),
    "no description": (tool(description='""'), "description: expected text"),
    "no runner": (tool(runner=None), "runner: missing"),
    "runner elsewhere": (tool(runner="../../bin/sh"), "there is no file '../../bin/sh'"),
    "absolute runner": (tool(runner="/bin/sh"), "there is no file '/bin/sh'"),
    "runner gone": (tool(runner="other.py"), "there is no file 'other.py'"),
    "runner on the host": (tool(runner="host:shell"), "on the host there are host:web_fetch"),
    "runner is a list": (tool(runner="[a]"), "found a list"),
    "egress in a container": (tool(egress="[example.com]"), "a container has no network"),
    "egress no name": (tool(runner="host:web_fetch", egress='["http://x/"]'), "expected host names"),
    "egress text": (tool(runner="host:web_fetch", egress="x.com"), "expected a list"),
    "role": (tool(role="viewer"), "role: expected one of operator, admin"),
    "approval": (tool(approval="maybe"), "approval: expected true or false"),
    "parallel": (tool(parallel="0"), "parallel: expected a whole number from 1"),
    "memory": (tool(sandbox="{memory: lots}"), "expected a size such as 256m, from 16m to 64g"),
    "memory too small": (tool(sandbox="{memory: 1k}"), "expected a size"),
    "timeout": (tool(sandbox="{timeout: 0}"), "expected a whole number from 1 to 3600"),
    "timeout true": (tool(sandbox="{timeout: true}"), "found true"),
    "cpu floor": (tool(sandbox="{cpu_percent: 1}"), "from 10"),
    "runtime": (tool(sandbox="{runtime: sysbox}"), "expected one of runc, runsc, crun"),
    "image": (tool(sandbox='{image: "a b"}'), "expected an image"),
    "sandbox list": (tool(sandbox="[]"), "expected a mapping"),
    "parameters map": (tool(parameters="{a: 1}"), "expected a list of parameters"),
    "parameter text": (tool(parameters="[a]"), "expected a mapping with name and type"),
    "parameter type": (tool(parameters="[{name: a, type: text}]"), "expected one of string, integer"),
    "parameter key": (tool(parameters="[{name: a, type: string, pattern: x}]"), "no such key"),
    "parameter name": (tool(parameters='[{name: "a b", type: string}]'), "expected letters, digits"),
    "parameter twice": (tool(parameters="[{name: a, type: string}, {name: a, type: string}]"), "second time"),
    "default wrong": (tool(parameters="[{name: a, type: integer, default: x}]"), "it must be a whole number"),
    "default not in enum": (tool(parameters="[{name: a, type: string, enum: [x], default: y}]"), "one of x"),
    "needless default": (tool(parameters="[{name: a, type: string, required: true, default: y}]"), "default"),
    "enum wrong": (tool(parameters="[{name: a, type: integer, enum: [x]}]"), "must be a whole number"),
    "enum empty": (tool(parameters="[{name: a, type: string, enum: []}]"), "expected a list of 1 to"),
    "bounds": (tool(parameters="[{name: a, type: integer, min: 5, max: 1}]"), "5 is more than max"),
    "bounds of text": (tool(parameters="[{name: a, type: string, min: -1}]"), "a whole number from 0"),
    "items": (tool(parameters="[{name: a, type: array, items: words}]"), "items.type: expected one of"),
    "inner": (
        tool(parameters="[{name: a, type: object, properties: [{name: b, type: x}]}]"),
        "parameters.0.properties.0.type: expected one of",
    ),
    "example": (tool(examples="[{input: {a: 1}}]"), '"a" is no argument of this tool'),
    "example text": (tool(examples="[x]"), "expected input"),
    "nul": (tool(description='"a\\0b"'), "NUL"),
    "surrogate": (tool(description='"\\ud800"'), "line 3"),
    "inf": (tool(parallel=".inf"), "finite"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_a_tool_file_is_refused_by_key_and_line(text: str, words: str) -> None:
    with pytest.raises(YamlRefused) as refused:
        parse(text)
    assert words in str(refused.value), str(refused.value)
    assert "TOOL.md, line" in str(refused.value)


def test_no_tool_hides_behind_a_page_or_hides_one() -> None:
    below = {
        str(entry.pattern).split("/")[1] for entry in urlpatterns if str(entry.pattern).startswith("tools/")
    }
    assert {name for name in below if name and "<" not in name} <= set(RESERVED)


def test_lines_are_counted_from_the_top_of_the_file() -> None:
    text = OWNERS.replace("  - {name: language,", "  - {name: language, colour: red,")
    with pytest.raises(YamlRefused, match=r"TOOL.md, line 11: parameters.1.colour: there is no such key"):
        parse(text)


def test_alias_bombs_and_huge_files_are_refused_before_they_cost_anything() -> None:
    laughs = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(YamlRefused, match="aliases grow to more than"):
        parse("\n".join(["---", "name: a", *laughs, "---", ""]))
    with pytest.raises(YamlRefused, match="may have 256 KiB"):
        parse("---\nname: a\n---\n" + "x" * 300_000)
    with pytest.raises(YamlRefused, match="nested more than"):
        parse(tool(parameters="[" * 100 + "]" * 100))
    with pytest.raises(YamlRefused, match="not UTF-8"):
        tool_parse(b"---\nname: \xff\n---\n", FILES)
    with pytest.raises(YamlRefused, match="not UTF-8"):
        tool_parse(tool().encode() + b"\xff", FILES)


def test_windows_line_ends_and_a_byte_order_mark_are_fine() -> None:
    assert tool_parse(b"\xef\xbb\xbf" + OWNERS.replace("\n", "\r\n").encode(), FILES)["version"] == "1.0.0"


# Folders ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "echo"
    (made / "lib").mkdir(parents=True)
    (made / "TOOL.md").write_text(tool())
    (made / "run.py").write_text("print(1)\n")
    (made / "lib" / "more.sh").write_text("echo\n")
    return made


def test_the_digest_is_of_names_bytes_and_rights_alone(folder: Path) -> None:
    first = folder_digest(folder)
    os.utime(folder / "run.py", (1, 1))
    (folder / ".git").mkdir()
    (folder / ".git" / "x").write_text("x")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "run.pyc").write_bytes(b"x")
    assert folder_digest(folder) == first
    (folder / "lib" / "more.sh").chmod(0o755)
    second = folder_digest(folder)
    (folder / "run.py").write_text("print(2)\n")
    assert len({first, second, folder_digest(folder)}) == 3
    (folder / "run.py").rename(folder / "ran.py")
    assert folder_digest(folder) not in (first, second)


def test_nothing_but_plain_files_of_its_own_is_taken(folder: Path, tmp_path: Path) -> None:
    def refused() -> str:
        with pytest.raises(FolderRefused) as error:
            folder_read(folder)
        return str(error.value)

    (tmp_path / "secret").write_text("secret")
    for make, words in (
        (lambda at: at.symlink_to(tmp_path / "secret"), "is a link"),
        (lambda at: at.symlink_to(tmp_path), "is a link"),
        (lambda at: at.symlink_to("run.py"), "is a link"),
        (lambda at: os.mkfifo(at), "no regular file"),
        (lambda at: at.write_bytes(b"x" * (8 * 2**20 + 1)), "more than 8 MiB"),
    ):
        make(folder / "odd")  # type: ignore[no-untyped-call]
        assert words in refused()
        (folder / "odd").unlink()
    (folder / "bad\nname").write_text("x")
    assert "plain text" in refused()
    (folder / "bad\nname").unlink()
    (folder / "TOOL.md").rename(folder / "tool.md")
    assert refused() == "it has no TOOL.md"


def test_a_folder_has_bounds(folder: Path) -> None:
    deep = folder
    for _ in range(8):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "x").write_text("x")
    with pytest.raises(FolderRefused, match="folders deep"):
        folder_read(folder)
    shutil.rmtree(folder / "d")
    for number in range(3):
        (folder / f"large{number}").write_bytes(b"x" * 7 * 2**20)
    with pytest.raises(FolderRefused, match="more than 16 MiB"):
        folder_read(folder)
    for number in range(201):
        (folder / f"small{number}").write_text("x")
    with pytest.raises(FolderRefused, match="more than 200 files"):
        folder_read(folder)
