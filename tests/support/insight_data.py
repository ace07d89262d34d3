"""Transcripts for branches, context, files, blame and errors: rewound, forked, compacted, edited, failed."""

from __future__ import annotations

import difflib
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.claude_code import BEGIN, Transcript, copied

FILE = "/home/ada/shop/basket.py"
TESTS = "/home/ada/shop/tests/test_basket.py"
HOSTILE = "<img src=x onerror=alert(1)>"
START = """class Basket:
    def __init__(self):
        self.items = []

    def add(self, item):
        self.items.append(item)

    def count(self):
        return len(self.items) + 1
"""
CACHED = 1030  # tokens that claude_code.Transcript counts as read from and written to the cache


class Told(Transcript):
    """A transcript whose responses have windows, and whose edits tell what Claude Code tells."""

    window, counted = 14_000, 0

    def said(self, *blocks: Any) -> dict[str, Any]:
        """Append a response; its window grows by a token for each four characters since the one before."""
        new = [record.get("message", {}).get("content", "") for record in self.records[self.counted :]]
        self.window, self.counted = self.window + 20 + len(str(new)) // 4, len(self.records)
        return self.answer(*blocks, tokens=(self.window - CACHED, 120))

    def asks(self, name: str, **given: Any) -> str:
        """Append a tool call as a response of its own; return its id."""
        tool_id = f"toolu_{len(self.records):04}{self.session_id[:8]}{self.agent}"
        self.said({"type": "tool_use", "id": tool_id, "name": name, "input": given})
        return tool_id

    def reads(self, path: str, text: str) -> None:
        lines = text.split("\n")
        file = {
            "filePath": path,
            "content": text,
            "numLines": len(lines),
            "startLine": 1,
            "totalLines": len(lines),
        }
        shown = "\n".join(f"{number:>6}→{line}" for number, line in enumerate(lines, 1))
        self.result(self.asks("Read", file_path=path), shown, told={"type": "text", "file": file})

    def writes(self, path: str, text: str) -> None:
        told = {
            "type": "create",
            "filePath": path,
            "content": text,
            "structuredPatch": [],
            "originalFile": None,
        }
        call = self.asks("Write", file_path=path, content=text)
        self.result(call, f"File created successfully at: {path}", told=told)

    def edits(self, path: str, before: str, old: str, new: str) -> str:
        """Append an edit that went well; return what the file is then."""
        after = before.replace(old, new, 1)
        call = self.asks("Edit", file_path=path, old_string=old, new_string=new)
        told = {"filePath": path, "oldString": old, "newString": new, "originalFile": before,
                "replaceAll": False, "structuredPatch": patch_of(before, after)}  # fmt: skip
        self.result(call, f"The file {path} has been updated.", told=told)
        return after

    def fails(self, name: str, error: str, **given: Any) -> None:
        self.result(self.asks(name, **given), f"<tool_use_error>{error}</tool_use_error>", error=True)


def patch_of(before: str, after: str) -> list[dict[str, Any]]:
    """A structuredPatch, as Claude Code notes it beside an edit."""
    old, new, hunks = before.split("\n"), after.split("\n"), []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(3):
        lines: list[str] = []
        for tag, a, b, c, d in group:
            if tag == "equal":
                lines += [" " + line for line in old[a:b]]
                continue
            lines += ["-" + line for line in old[a:b]] + ["+" + line for line in new[c:d]]
        hunks.append({"oldStart": group[0][1] + 1, "newStart": group[0][3] + 1, "lines": lines})
    return hunks


def rewound(root: Path) -> Told:
    """A session that edits a file, is rewound, compacted, and has a sub-agent write tests."""
    one = Told(root)
    one.prompt("Make the basket count right")
    one.said(
        {"type": "thinking", "thinking": "The count is one too high. " * 400, "signature": "s"}, "I look."
    )
    one.reads(FILE, START)
    one.fails(
        "Edit", "String to replace not found in file.", file_path=FILE, old_string="nope", new_string="x"
    )
    text = one.edits(FILE, START, "len(self.items) + 1", "len(self.items)")
    one.said("The count is right now.")
    fork = one.parent
    one.prompt("Add a method that removes an item")
    text = one.edits(
        FILE,
        text,
        "    def count",
        "    def remove(self, item):\n        self.items.remove(item)\n\n    def count",
    )
    one.result(one.asks("Bash", command=f"sed -i s/items/lines/ {FILE}"), "")
    text = one.edits(FILE, text.replace("items", "lines"), "def remove", "def take_out")
    one.said("Done: take_out.")
    # Esc Esc: another prompt after the first answer.
    one.parent = fork
    one.prompt("Rather add a total")
    one.edits(
        FILE, text, "    def count", "    def total(self):\n        return sum(self.lines)\n\n    def count"
    )
    task = one.asks(
        "Task", description="Write tests", prompt="Write tests for Basket", subagent_type="tester"
    )
    agent = Told(root, session_id=one.session_id, agent="a1b2c3", begin=one.at)
    agent.prompt("Write tests for Basket")
    agent.writes(TESTS, "def test_count():\n    assert True\n")
    agent.said("Tests are written.")
    agent.write()
    one.at = agent.at
    one.result(task, "Tests are written.", told={"agentId": "a1b2c3", "status": "completed"})
    for part in range(1, 6):
        log = "".join(f"shop/part_{part}.py:{line}: basket.count()\n" for line in range(1, 900))
        one.result(one.asks("Bash", command=f"grep -rn count shop/part_{part}.py"), log)
    one.said("There is a total now. " * 400)
    last = one.parent
    one.add("system", subtype="compact_boundary", content="Conversation compacted", parentUuid=None,
            logicalParentUuid=last, compactMetadata={"trigger": "auto", "preTokens": one.window})  # fmt: skip
    one.prompt("This session is continued from another. " * 20, isCompactSummary=True)
    one.window = 15_000
    one.said("Shall I go on?")
    one.fails("Bash", "Exit code 1", command="pytest")
    one.result(one.asks("Bash", command="pytest -q"), "2 passed")
    one.said("All tests pass.")
    one.write()
    return one


def forked(root: Path, one: Told) -> Told:
    """A session that goes on from the first answer of another, under its own id."""
    fork = Told(root, begin=one.at + timedelta(hours=1))
    kept = next(
        place for place, record in enumerate(one.records) if record["parentUuid"] and "removes" in str(record)
    )
    fork.records = copied(one.records[:kept], fork.session_id)
    fork.parent = fork.records[-1]["uuid"]
    fork.prompt("Write it in Rust instead")
    fork.writes("/home/ada/shop/basket.rs", "pub struct Basket;\n")
    fork.said("Here it is in Rust.")
    fork.write()
    return fork


def later(root: Path) -> Told:
    """Another session of the project, a day later, with hostile texts and errors of the API."""
    one = Told(root, begin=BEGIN + timedelta(days=1))
    one.prompt(f"Say {HOSTILE} in the basket")
    one.reads(FILE, START)
    one.edits(FILE, START, "class Basket:", f"class Basket:\n    word = '{HOSTILE}'")
    one.fails("Bash", f"Exit code 2 at {HOSTILE}", command=HOSTILE)
    one.fails("Bash", "Exit code 127", command="nope")
    one.add("assistant", isApiErrorMessage=True, error="overloaded", message={
        "id": "msg_synthetic", "role": "assistant", "model": "<synthetic>", "usage": {},
        "content": [{"type": "text", "text": "API Error: 529 Overloaded"}],
    })  # fmt: skip
    one.said(f"It says {HOSTILE}.")
    one.write()
    return one


def insight_transcripts(root: Path) -> tuple[Told, Told, Told]:
    """Write all of them below `root`; return rewound, forked and later."""
    one = rewound(root)
    return one, forked(root, one), later(root)


def insight_seed(folder: Path) -> dict[str, str]:
    """Read all of them into the archive of the settings; return addresses to be photographed, by name."""
    from tests.support.page_transcripts import transcripts_read
    from transcripts_app.archive.models import Session
    from transcripts_app.insight.atlas import group_key

    one, _, _ = insight_transcripts(folder)
    transcripts_read(folder)
    session = f"/transcripts/sessions/{Session.objects.get(session_id=one.session_id).key}"
    return {
        "transcript-branches": f"{session}/branches/",
        "transcript-context": f"{session}/context/",
        "transcript-files": f"{session}/files/",
        "transcript-file": f"{session}/files/?path={FILE}&step=4",
        "transcript-file-whole": f"{session}/files/?path={FILE}&show=file",
        "transcript-blame": "/transcripts/blame/",
        "transcript-blame-file": f"/transcripts/blame/?path={FILE}&line=2",
        "transcript-errors": "/transcripts/errors/",
        "transcript-error": f"/transcripts/errors/{group_key('tool', 'Exit code ‹n›')}/",
    }
