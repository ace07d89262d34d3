"""docs/tools.md holds what is true: its example runs, and it names every key."""

from __future__ import annotations

import re
from pathlib import Path

from sandbox_app.schema import arguments_check
from sandbox_app.tool_folder import folder_read
from sandbox_app.tool_limits import KEYS as LIMIT_KEYS
from sandbox_app.toolfile import KEYS, tool_parse
from tests.sandbox.shipped import TOOLS, start

DOCUMENT = (Path(__file__).parents[2] / "docs" / "tools.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_the_example_is_taken_and_runs(tmp_path: Path) -> None:
    (tmp_path / "TOOL.md").write_text(block("markdown"))
    (tmp_path / "run.py").write_text(block("python"))
    folder = folder_read(tmp_path)
    definition = tool_parse(folder.tool_file, folder.paths)
    arguments = arguments_check(definition, {"text": "to be or not to be", "unique": True})
    came = start(tmp_path / "run.py", {"arguments": arguments, "workspace": None, "artifacts": None})
    assert (came.code, came.stdout, came.told) == (0, "4\n", {"result": {"words": 4}})


def test_every_key_and_tool_is_named() -> None:
    named = set(re.findall(r"`([a-z_]+)`", DOCUMENT))
    assert set(KEYS) | set(LIMIT_KEYS) <= named
    assert {place.name for place in TOOLS.iterdir()} <= named
