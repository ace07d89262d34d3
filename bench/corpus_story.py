"""What happens in the generated corpus: turns, sub-agents, forks, compactions and all that goes wrong."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from bench.corpus_session import MODELS, SURROGATE, House, Scribe, said
from bench.corpus_tools import Desk, Done
from bench.corpus_truth import SessionTruth

BEGIN_MS = 1_777_600_000_000  # 1 May 2026
DAYS = 210
PROJECTS = (
    "/home/ada/src/shop", "/home/ada/src/shop_api", "/home/ada/src/shop-api", "/home/ada/work/ledger.app",
    "/srv/build/parcel", "/home/ada/notes", "/home/ada/src/fleet", "/home/bo/café",
)  # fmt: skip
BRANCHES = ("main", "main", "fix/basket", "feature/refunds", "release-2.4", "HEAD")
VERSIONS = ("2.0.67", "2.1.56", "2.1.56", "1.0.88")


def folder_name(cwd: str) -> str:
    """How Claude Code names a project's folder."""
    return re.sub(r"[^A-Za-z0-9]", "-", cwd)


class Story:
    """A session of the corpus while it is told. `families` in FAMILIES begin one each."""

    def __init__(self, house: House, cwd: str, session_id: str, at_ms: int, folder: str = "") -> None:
        self.house, self.cwd, self.session_id = house, cwd, session_id
        self.folder = house.root / (folder or folder_name(cwd))
        self.rng, self.text = house.text.rng, house.text
        self.truth = SessionTruth(f"{self.folder.name}/{session_id}", cwd)
        house.truth.sessions[self.truth.key] = self.truth
        self.desk = Desk(self.text, cwd)
        self.model = self.rng.choices(MODELS, weights=(30, 40, 10, 8, 5))[0]
        self.version = self.rng.choice(VERSIONS)
        self.branch = self.rng.choice(BRANCHES)
        self.main = self._scribe(self.folder / f"{session_id}.jsonl", at_ms)
        self.turns = list[str | None]()

    def _scribe(self, path: Path, at_ms: int, agent: str = "") -> Scribe:
        scribe = Scribe(self.house, path, self.truth, self.session_id, self.desk, at_ms, agent=agent)
        scribe.model, scribe.version, scribe.branch = self.model, self.version, self.branch
        return scribe

    def tell(self, lines: int) -> None:
        """Go on with turns until the session's own file has so many lines."""
        while self.main.written < lines:
            self.turn(lines)

    def turn(self, lines: int) -> None:
        """A prompt, what the model does about it, and what Claude Code notes around it."""
        main, rng = self.main, self.rng
        self._before(main)
        self.turns.append(main.parent)
        main.prompt(self._wish())
        if rng.random() < 0.3:
            main.put({"type": "file-history-snapshot", "messageId": main.parent, "isSnapshotUpdate": False,
                      "snapshot": {"messageId": main.parent, "trackedFileBackups": {}}})  # fmt: skip
        for _ in range(1 + int(rng.expovariate(1 / 6))):
            if main.written >= lines:
                break
            self.step(main)
        if rng.random() < 0.06:
            main.note([said("[Request interrupted by user]")])
        else:
            leading = [main.thinking(self.text.size(300, 1.0))] if rng.random() < 0.2 else []
            main.respond(*leading, said(self.text.prose(self.text.size(900, 0.9))))
        if rng.random() < 0.3:
            main.add("system", subtype="turn_duration", durationMs=rng.randrange(2000, 90_000), isMeta=False)

    def step(self, scribe: Scribe, depth: int = 0) -> None:
        """One response with its calls and their results."""
        rng = self.rng
        leading = []
        if rng.random() < 0.3:
            leading.append(scribe.thinking(self.text.size(250, 1.1)))
        if rng.random() < 0.35:
            leading.append(said(self.text.prose(self.text.size(220, 0.9))))
        pick = rng.random()
        if pick < 0.012 and depth < 2:
            self.task(scribe, depth)
        elif pick < 0.018:
            self.large_result(scribe)
        else:
            count = 1 if rng.random() < 0.85 else rng.choice((2, 2, 2, 3, 3, 4, 6, 15))
            scribe.calls(count, *leading)
        if rng.random() < 0.08:
            self._progress(scribe)

    def _wish(self) -> Any:
        words = self.text.prose(self.text.size(90, 1.0))
        if self.rng.random() < 0.01:
            words += f" {SURROGATE}"
        if self.rng.random() > 0.02:
            return words
        data = base64.b64encode(self.rng.randbytes(self.rng.randrange(4_000, 60_000))).decode()
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
        return [said(words), image]

    def _before(self, main: Scribe) -> None:
        """What may come before a turn; none of it is a prompt."""
        rng = self.rng
        for chance, event in _EVENTS:
            if rng.random() < chance:
                event(self, main)

    def _progress(self, scribe: Scribe) -> None:
        output = self.text.log(self.text.size(300, 1.0))
        data = {"type": "bash_progress", "output": output, "fullOutput": output, "elapsedTimeSeconds": 3}
        scribe.add("progress", toolUseID=f"bash-progress-{self.rng.randrange(99)}", data=data,
                   parentToolUseID=scribe.tool_id())  # fmt: skip

    # Sub-agents

    def task(self, scribe: Scribe, depth: int = 0, layout: str = "") -> None:
        """A call that starts a sub-agent: in a file below or beside the session, or in its own file."""
        rng, agent, tool_id = self.rng, f"{self.rng.getrandbits(32):08x}", scribe.tool_id()
        layouts = ("below", "below", "below", "beside", "inline") if not depth else ("below",)
        layout = layout or rng.choice(layouts)
        wish = self.text.prose(300)
        words = self.text.prose(self.text.size(900, 0.7))
        told = {"status": "completed", "prompt": wish, "content": [said(words)], "totalTokens": 41_000,
                "totalDurationMs": 61_000, "usage": {"output_tokens": 999_999}}  # fmt: skip
        if layout != "inline":
            told["agentId"] = agent
        given = {"description": self.text.prose(20), "prompt": wish, "subagent_type": "Explore"}
        done = Done("Task", given, [said(words)], told)
        scribe.respond(scribe.use(done, tool_id))
        if layout == "inline" and not depth:
            self._inline(scribe, wish)
        else:
            self._agent(scribe, agent, tool_id, layout, wish, depth)
        if layout != "below" or rng.random() < 0.7:  # else killed: only meta.json tells whose agent it was
            scribe.result(done, tool_id)

    def _inline(self, scribe: Scribe, wish: str) -> None:
        scribe.is_side = True
        scribe.prompt(wish)
        for _ in range(3):
            scribe.calls(1)
        scribe.is_side = False

    def _agent(
        self, scribe: Scribe, agent: str, tool_id: str, layout: str, wish: str, depth: int
    ) -> None:  # fmt: skip
        below = self.folder / self.session_id / "subagents"
        path = (below if layout == "below" else self.folder) / f"agent-{agent}.jsonl"
        if layout == "below":
            meta = {"agentType": "Explore", "toolUseId": tool_id, "description": self.text.prose(20)}
            self._beside(below / f"agent-{agent}.meta.json", orjson.dumps(meta), scribe.at_ms)
        child = self._scribe(path, scribe.at_ms, agent)
        self.truth.agents += 1
        self.truth.agent_calls += 1
        child.prompt(wish)
        for _ in range(self.rng.randrange(2, 25)):
            self.step(child, depth + 1)
        child.respond(said(self.text.prose(600)))
        child.close()
        message = {
            "type": "assistant",
            "message": {"id": "msg_repeated", "usage": {"output_tokens": 999_999}},
        }
        if layout != "below":
            scribe.add("progress", toolUseID=f"agent_{agent}", parentToolUseID=tool_id,
                       data={"type": "agent_progress", "prompt": "", "agentId": agent,
                             "message": message})  # fmt: skip
        scribe.at_ms = max(scribe.at_ms, child.at_ms)

    def warm_agent(self, at_ms: int) -> None:
        """Claude Code warms its cache by a sub-agent that is asked nothing."""
        agent = f"{self.rng.getrandbits(32):08x}"
        child = self._scribe(self.folder / f"agent-{agent}.jsonl", at_ms, agent)
        self.truth.agents += 1
        child.is_warmup = True
        child.prompt("Warmup")
        child.respond(said("I'm ready."))
        child.close()

    def large_result(self, scribe: Scribe) -> None:
        """An output too large for the transcript lies beside it."""
        tool_id, text = scribe.tool_id(), self.text
        data = text.log(text.size(40_000, 0.6))
        path = self.folder / self.session_id / "tool-results" / f"{tool_id}.txt"
        told = f"/home/ada/.claude/projects/{self.folder.name}/{self.session_id}/tool-results/{tool_id}.txt"
        done = Done("Bash", {"command": f"cat {text.name()}.log"},
                    f"<persisted-output>\nFull output saved to: {told}\n\n{data[:2000]}\n</persisted-output>",
                    {"stdout": data[:2000], "stderr": "", "interrupted": False})  # fmt: skip
        scribe.respond(scribe.use(done, tool_id))
        self._beside(path, data.encode(), scribe.at_ms)
        truth = self.house.truth
        truth.bytes += len(data)
        truth.lines += 1
        truth.records += 1
        self.truth.records += 1
        scribe.result(done, tool_id)

    def _beside(self, path: Path, data: bytes, at_ms: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(at_ms * 1_000_000,) * 2)
        self.house.truth.files += 1

    def workflow(self) -> None:
        """A workflow's journal: records of types that the archive does not know."""
        path = self.folder / self.session_id / "subagents" / "workflows" / "wf_1" / "journal.jsonl"
        scribe = self._scribe(path, self.main.at_ms)
        for number in range(3):
            scribe.put({"type": "started", "key": f"v2:{number}", "agentId": self.text.name()})
        scribe.close()

    # Titles

    def title(self, kind: str, field: str) -> None:
        """Name the session, in its own file."""
        words = " ".join(self.text.prose(40).split())
        self.main.put({"type": kind, field: words, "sessionId": self.session_id})
        if kind == "custom-title" or not self.truth.title:
            self.truth.title = words

    def summarize(self, other: Story) -> None:
        """Write another session's summary, known by its leaf alone, into this one's file."""
        words = " ".join(self.text.prose(40).split())
        self.main.put({"type": "summary", "summary": words, "leafUuid": other.main.parent})
        other.truth.title = other.truth.title or words


def _compaction(story: Story, main: Scribe) -> None:
    if main.written < 30:
        return
    leaf, main.parent = main.parent, None
    story.truth.compactions += 1
    main.add("system", subtype="compact_boundary", content="Conversation compacted", level="info",
             logicalParentUuid=leaf, isMeta=False,
             compactMetadata={"trigger": "auto", "preTokens": 155_000})  # fmt: skip
    summary = "This session is being continued from a previous conversation.\n" + story.text.prose(3000)
    main.note(summary, isCompactSummary=True, isVisibleInTranscriptOnly=True)


def _rewind(story: Story, main: Scribe) -> None:
    if story.turns:
        main.parent = story.rng.choice(story.turns[-3:])


def _command(_story: Story, main: Scribe) -> None:
    main.note("<command-name>/clear</command-name>\n<command-message>clear</command-message>")
    main.note("<local-command-stdout>\x1b[1mdone\x1b[22m</local-command-stdout>")


def _caveat(story: Story, main: Scribe) -> None:
    main.note(f"<system-reminder>\n{story.text.prose(200)}\n</system-reminder>", isMeta=True)


def _api_error(story: Story, main: Scribe) -> None:
    if story.rng.random() < 0.5:
        main.synthetic("API Error: 529 overloaded_error")
        return
    story.truth.api_errors += 1
    main.add(
        "system", subtype="api_error", level="error", error={"status": 529}, retryInMs=600, retryAttempt=1
    )


def _queue(story: Story, main: Scribe) -> None:
    words = story.text.prose(60)
    for operation in ("enqueue", "remove"):
        main.put({"type": "queue-operation", "operation": operation, "content": words,
                  "sessionId": main.session_id})  # fmt: skip
    main.add("attachment", attachment={"type": "queued_command", "prompt": words})


def _future(story: Story, main: Scribe) -> None:
    main.add("holo-state", state={"level": story.rng.randrange(9), "name": story.text.name()})


def _move(story: Story, main: Scribe) -> None:
    if not story.turns:
        return
    main.desk.cwd = story.cwd + story.rng.choice(("", "/web", "/tools"))
    main.branch = story.rng.choice(BRANCHES)


def _state(story: Story, main: Scribe) -> None:
    main.put({"type": "mode", "mode": "normal", "sessionId": main.session_id})
    main.put({"type": "last-prompt", "lastPrompt": story.text.prose(40), "sessionId": main.session_id})


def _hooks(_story: Story, main: Scribe) -> None:
    main.add(
        "system", subtype="stop_hook_summary", hookCount=1, hookInfos=[{"command": "lint"}], hookErrors=[]
    )


def _pull(_story: Story, main: Scribe) -> None:
    main.put({"type": "pr-link", "prNumber": 41, "prUrl": "https://example.org/shop/pull/41",
              "prRepository": "ada/shop", "sessionId": main.session_id})  # fmt: skip


_EVENTS: tuple[tuple[float, Callable[[Story, Scribe], None]], ...] = (
    (0.03, _compaction), (0.04, _rewind), (0.06, _command), (0.08, _caveat), (0.03, _api_error),
    (0.05, _queue), (0.02, _future), (0.05, _move), (0.1, _state), (0.1, _hooks), (0.01, _pull),
)  # fmt: skip
