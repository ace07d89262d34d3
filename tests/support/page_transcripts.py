"""Sessions of every sort, read into the archive, for screenshots and page tests."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings

from tests.support.claude_code import Transcript, copied
from transcripts_app.archive.models import Session
from transcripts_app.importing.costs import costs_refresh
from transcripts_app.importing.run import ImportRun
from transcripts_app.importing.writer import Writer
from transcripts_app.services_prices import prices_table

SHOP, SITE, NOTES = "/home/ada/shop", "/home/ada/web-site", "/home/ada/notes"
LONG_TURNS = 150
MARKDOWN = """\
The count was wrong in **two** places:

1. `basket.py` counted lines, not pieces
2. the header read a stale cookie

```python
def count(basket: Basket) -> int:
    return sum(line.pieces for line in basket.lines)
```

| case | before | after |
|---|---|---|
| empty | 0 | 0 |
| three pieces | 1 | 3 |
"""


def transcripts_seed(folder: Path) -> dict[str, str]:
    """Write sessions below `folder`, read them into the archive, and return their keys by name.

    Names: long, tools, fork, agents, compacted, rewound, broken, images, warmup, running, orphan.
    """
    now = datetime.now(UTC)
    made = {
        "long": _long(folder, now - timedelta(days=2)),
        "tools": _tools(folder, now - timedelta(hours=5)),
        "agents": _agents(folder, now - timedelta(days=1, hours=3)),
        "compacted": _compacted(folder, now - timedelta(days=4)),
        "rewound": _rewound(folder, now - timedelta(days=5)),
        "broken": _broken(folder, now - timedelta(days=6)),
        "images": _images(folder, now - timedelta(days=8)),
        "warmup": _warmup(folder, now - timedelta(days=9)),
        "running": _running(folder, now - timedelta(minutes=1)),
        "orphan": _orphan(folder, now - timedelta(days=11)),
    }
    made["fork"] = _fork(folder, made["tools"], now - timedelta(hours=2))
    transcripts_read(folder)
    made["rewound"].path.unlink()  # as Claude Code does after 30 days
    transcripts_read(folder)
    keys = dict(Session.objects.values_list("session_id", "key"))
    return {name: keys[one.session_id] for name, one in made.items()}


def transcripts_pages(keys: dict[str, str]) -> dict[str, str]:
    """Addresses to be photographed, by name."""
    named = {f"transcript-{name}": f"/transcripts/sessions/{key}/" for name, key in keys.items()}
    project = Session.objects.get(key=keys["long"]).project
    raw = Session.objects.get(key=keys["tools"]).lines.order_by("pk")[3]
    return {
        "transcripts": "/transcripts/",
        "transcripts-nothing": "/transcripts/?text=zzz",
        "transcript-projects": "/transcripts/projects/",
        "transcript-project": f"/transcripts/projects/{project.key}/",
        "transcript-raw": f"/transcripts/sessions/{keys['tools']}/records/{raw.pk}/raw/",
        "transcript-figures": "/transcripts/figures/?days=30",
        "transcript-figures-nothing": "/transcripts/figures/?model=none",
        "transcript-prices": "/transcripts/prices/",
        "search": "/transcripts/search/?q=basket",
        "search-sessions": "/transcripts/search/?q=basket&by=session&sort=newest",
        "search-bad": "/transcripts/search/?q=basket%20tol:Bash",
        "search-empty": "/transcripts/search/",
        **named,
    }


def transcripts_read(folder: Path) -> None:
    """Read what is new below `folder` into the archive of the settings."""
    with Writer(settings.ARCHIVE_PATH) as writer:
        costs_refresh(writer, prices_table())
        run = ImportRun(writer, "command")
        run.source_read("spark-1", folder)
        run.end()


def _long(folder: Path, begin: datetime) -> Transcript:
    one = Transcript(folder, SHOP, begin=begin)
    for turn in range(LONG_TURNS):
        one.prompt(f"Step {turn + 1}: look at module {turn} and make it right")
        one.answer({"type": "thinking", "thinking": f"Module {turn} first.", "signature": "s"})
        call = one.call("Read", file_path=f"{SHOP}/module_{turn}.py")
        one.result(call, "\n".join(f"{line:6}\tvalue_{line} = {line}" for line in range(1, 30)))
        edit = one.call(
            "Edit",
            file_path=f"{SHOP}/module_{turn}.py",
            old_string="value_3 = 3",
            new_string=f"value_3 = {turn}",
        )
        one.result(edit, "The file has been updated.")
        test = one.call("Bash", command=f"pytest tests/test_module_{turn}.py", description="Run its tests")
        one.result(test, "1 failed" if turn % 25 == 7 else "3 passed", error=turn % 25 == 7)
        one.answer(f"Module {turn} is right now.\n\n{MARKDOWN if turn % 10 == 0 else ''}", tokens=(900, 350))
    one.write()
    return one


def _tools(folder: Path, begin: datetime) -> Transcript:
    one = Transcript(folder, SITE, begin=begin)
    one.branch = "fix/basket-count"
    one.prompt("The basket in the header shows 1 although three pieces are in it. Find out why and mend it.")
    one.answer({"type": "thinking", "thinking": "The header may count lines.", "signature": "s"})
    todos = [
        {"content": "Find where it counts", "status": "completed", "activeForm": "Finding"},
        {"content": "Count pieces", "status": "in_progress", "activeForm": "Counting pieces"},
        {"content": "Run the tests", "status": "pending", "activeForm": "Running the tests"},
    ]
    one.result(one.call("TodoWrite", todos=todos), "Todos have been modified successfully.")
    grep = one.call("Grep", pattern="def count", path=SITE, output_mode="content")
    one.result(grep, f"{SITE}/basket.py:12:def count(basket):\n{SITE}/header.py:4:def count_cookie():")
    read = one.call("Read", file_path=f"{SITE}/basket.py", offset=10, limit=6)
    one.result(read, "    10\tfrom shop import Basket\n    11\t\n    12\tdef count(basket):\n"
                     "    13\t    return len(basket.lines)\n    14\t")  # fmt: skip
    edit = one.call("Edit", file_path=f"{SITE}/basket.py", old_string="    return len(basket.lines)",
                    new_string="    return sum(line.pieces for line in basket.lines)")  # fmt: skip
    one.result(edit, "The file has been updated.")
    bash = one.call("Bash", command="pytest -q tests/test_basket.py", description="Run the basket's tests")
    one.result(bash, "\x1b[32m3 passed\x1b[0m, \x1b[31m1 failed\x1b[0m in 0.31s", error=True)
    write = one.call(
        "Write",
        file_path=f"{SITE}/tests/test_header.py",
        content="from header import shown\n\n\ndef test_pieces():\n    assert shown(3) == 3\n",
    )
    one.result(write, "File created successfully.")
    fetch = one.call("WebFetch", url="https://docs.example.org/cookies", prompt="How long do they live?")
    one.result(fetch, "Until the browser closes, unless Max-Age is set.")
    click = one.call("mcp__browser__click", selector="#basket", double=False)
    one.result(click, [{"type": "text", "text": "Clicked #basket"}])
    one.answer(MARKDOWN, tokens=(2000, 900))
    one.prompt("<command-name>/cost</command-name>\n<command-args></command-args>")
    one.prompt("<local-command-stdout>Total cost: $0.41</local-command-stdout>")
    one.prompt("Good. Commit it.")
    one.result(
        one.call("Bash", command="git commit -am 'Count pieces'"), "[fix/basket-count 1a2b3c4] Count pieces"
    )
    one.answer("Committed as `1a2b3c4`.")
    one.bare(type="summary", summary="The basket counts pieces, not lines", leafUuid=one.records[-1]["uuid"])
    one.write()
    return one


def _fork(folder: Path, origin: Transcript, begin: datetime) -> Transcript:
    fork = Transcript(folder, SITE, begin=begin)
    fork.branch = "fix/basket-count"
    fork.records = copied([record for record in origin.records if "uuid" in record], fork.session_id)
    fork.parent = fork.records[-1]["uuid"]
    fork.prompt("Another way: count them in the database.")
    fork.answer("A query with `SUM(pieces)` does it.")
    fork.write()
    return fork


def _agents(folder: Path, begin: datetime) -> Transcript:
    one = Transcript(folder, SHOP, begin=begin)
    one.prompt("Let two helpers look for places that still count lines.")
    call = one.call("Task", description="Search the shop", prompt="Find every use of count()",
                    subagent_type="Explore")  # fmt: skip
    helper = Transcript(folder, SHOP, one.session_id, agent="a1b2c3d4", begin=one.at)
    helper.model = "claude-haiku-4-5-20251001"
    helper.prompt("Find every use of count()")
    helper.result(helper.call("Grep", pattern="count\\("), "basket.py:12\nheader.py:4\nmail.py:88")
    inner = helper.call("Task", description="Look at mail.py", prompt="Does mail.py count lines?",
                        subagent_type="general-purpose")  # fmt: skip
    nested = Transcript(folder, SHOP, one.session_id, agent="e5f6a7b8", begin=helper.at)
    nested.prompt("Does mail.py count lines?")
    nested.answer("Yes, in line 88.")
    nested.write()
    helper.result(inner, "Yes, in line 88.", told={"agentId": "e5f6a7b8", "status": "completed"})
    helper.answer("Three places: basket.py:12, header.py:4, mail.py:88.")
    helper.write()
    beside = helper.path.with_name("agent-a1b2c3d4.meta.json")
    beside.write_text(
        json.dumps({"agentType": "Explore", "toolUseId": call, "description": "Search the shop"})
    )
    one.result(call, [{"type": "text", "text": "Three places: basket.py:12, header.py:4, mail.py:88."}],
               told={"agentId": "a1b2c3d4", "status": "completed", "totalTokens": 12345})  # fmt: skip
    one.answer("Three places are left; I mend them now.")
    one.write()
    return one


def _compacted(folder: Path, begin: datetime) -> Transcript:
    one = Transcript(folder, NOTES, begin=begin)
    one.model = "claude-sonnet-4-5-20250929"
    for turn in range(4):
        one.prompt(f"Sort the notes of month {turn + 1}")
        one.answer(f"Month {turn + 1} is sorted.")
    leaf, one.parent = one.parent, None
    one.add("system", subtype="compact_boundary", content="Conversation compacted", level="info",
            logicalParentUuid=leaf, compactMetadata={"trigger": "auto", "preTokens": 168_000})  # fmt: skip
    one.prompt("This session continues another. Months 1 to 4 are sorted.", isCompactSummary=True,
               isVisibleInTranscriptOnly=True)  # fmt: skip
    one.prompt("Now month 5")
    one.answer("Month 5 is sorted.")
    one.add("system", subtype="turn_duration", durationMs=4200)
    one.write()
    return one


def _rewound(folder: Path, begin: datetime) -> Transcript:
    one = Transcript(folder, NOTES, begin=begin)
    one.prompt("Write a poem about the sea")
    fork = one.answer("The sea is wide and blue.")["uuid"]
    one.prompt("Longer, please")
    one.answer("The sea is wide, the sea is blue, and so are you.")
    one.parent = fork
    one.prompt("Shorter, please")
    one.answer("Sea. Blue.")
    one.write()
    return one


def _broken(folder: Path, begin: datetime) -> Transcript:
    one = Transcript(folder, "/srv/lab", begin=begin)
    one.branch = "lab"
    one.prompt("<b>Bold</b> and <script>alert(1)</script>: what does it do?")
    one.write()
    one.append(b'{"type": "user", "message": {"content": "cut in the mid\n')
    one.answer(
        "It does [nothing](javascript:alert(1)).\n\n<img src=x onerror=alert(1)>\n\n"
        "<style>*{display:none}</style>"
    )
    one.add("mystery", payload={"kind": "of a later version"})
    one.result(one.call("Bash", command="make"), "make: *** No targets. Stop.", error=True)
    one.answer("API Error: 529 overloaded_error", isApiErrorMessage=True, error="overloaded")
    one.write()
    return one


def _images(folder: Path, begin: datetime) -> Transcript:
    one = Transcript(folder, SITE, begin=begin)
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png_text()}}
    one.prompt([{"type": "text", "text": "What is wrong in this picture?"}, picture])
    one.answer("The header is green.")
    one.result(one.call("Read", file_path=f"{SITE}/shot.png"), [picture])
    one.answer("The second one is right.")
    one.bare(type="custom-title", customTitle="Pictures of the header", sessionId=one.session_id)
    one.write()
    return one


def _warmup(folder: Path, begin: datetime) -> Transcript:
    one = Transcript(folder, SHOP, agent="deadbeef", agent_below=False, begin=begin)
    one.prompt("Warmup")
    one.answer("I am ready.")
    one.write()
    return one


def _running(folder: Path, begin: datetime) -> Transcript:
    one = Transcript(folder, SHOP, begin=begin)
    one.prompt("Make the mail count pieces too")
    one.result(one.call("Read", file_path=f"{SHOP}/mail.py"), "    88\tcount(basket)")
    one.answer("I change line 88.")
    one.write()
    return one


def _orphan(folder: Path, begin: datetime) -> Transcript:
    """No record tells where it ran: its project is read off the folder's name."""
    one = Transcript(folder, "/opt/old_app", begin=begin)
    one.cwd = None  # type: ignore[assignment]
    one.branch = None  # type: ignore[assignment]
    one.prompt("Is anybody there?")
    one.write()
    return one


def png_text(size: int = 64, colour: tuple[int, int, int] = (118, 185, 0)) -> str:
    """A square of one colour, as base64."""
    row = b"\0" + bytes(colour) * size
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * size)),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in parts:
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return base64.b64encode(data).decode()
