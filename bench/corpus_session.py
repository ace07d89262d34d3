"""One session of the generated corpus, record by record, with its sub-agents, as Claude Code writes it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from io import TextIOBase
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bench.corpus_text import Text
from bench.corpus_tools import Desk, Done, call_make
from bench.corpus_truth import ResponseTruth, SessionTruth, Truth

MODELS = (
    "claude-opus-4-5-20251101", "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001",
    "claude-sonnet-4-20250514", "qwen3-coder:30b",
)  # fmt: skip
SYNTHETIC = "<synthetic>"
KEPT_FOR = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
KEPT_MOST = 60  # records that a fork may copy
SURROGATE = "\ufffb"  # written as half of a pair, as Claude Code does when it cuts an emoji


@dataclass
class House:
    """What all sessions of a corpus share."""

    root: Path
    text: Text
    truth: Truth
    responses: TextIOBase
    seen: set[str] = field(default_factory=set)  # uuids of the family at hand: originals and forks
    open: dict[str, ResponseTruth] = field(default_factory=dict)  # of the family at hand, by message id

    def family_end(self) -> None:
        """No later session copies from these: their figures are final."""
        for response in self.open.values():
            self.truth.settle(response, self.responses)
        self.open.clear()
        self.seen.clear()


class Scribe:
    """Writes one file. `session` is whose figures it adds to."""

    def __init__(
        self, house: House, path: Path, session: SessionTruth, session_id: str, desk: Desk, at_ms: int, *,
        agent: str = "",
    ) -> None:  # fmt: skip
        self.house, self.session, self.session_id, self.desk = house, session, session_id, desk
        self.rng, self.text, self.truth = house.text.rng, house.text, house.truth
        self.at_ms, self.agent, self.path = at_ms, agent, path
        self.is_side = bool(agent)  # older versions wrote a sub-agent's records into the session's own file
        self.parent: str | None = None
        self.branch, self.model, self.version = "main", MODELS[0], "2.1.56"
        self.kept: list[dict[str, Any]] = []
        self.written = 0
        self.is_warmup = False
        self.file = self._open(path)

    @staticmethod
    def _open(path: Path) -> BinaryIO:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "wb", buffering=2**18)

    def close(self) -> None:
        """End the file, with the time of its last record: the importer reads oldest first."""
        self.file.close()
        os.utime(self.path, ns=(self.at_ms * 1_000_000,) * 2)
        self.truth.files += 1

    def uuid(self) -> str:
        """A random uuid, by seed."""
        digits = f"{self.rng.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def put(self, record: dict[str, Any]) -> None:
        """Write one record and count it."""
        line = orjson.dumps(record)
        if SURROGATE.encode() in line:
            line = line.replace(SURROGATE.encode(), b"\\ud83d")
        self.file.write(line + b"\n")
        truth = self.truth
        truth.bytes += len(line) + 1
        truth.lines += 1
        truth.records += 1
        truth.types[record["type"]] += 1
        self.written += 1
        uuid = record.get("uuid")
        if uuid is None or uuid not in self.house.seen:
            self.session.records += 1
        else:
            truth.copies += 1
        if uuid is not None:
            self.house.seen.add(uuid)
            if len(self.kept) < KEPT_MOST:
                self.kept.append(record)

    def add(self, type: str, **fields: Any) -> dict[str, Any]:
        """Write a record with the common fields."""
        self.at_ms += 200 + int(self.rng.expovariate(1 / 6000))
        record: dict[str, Any] = {
            "parentUuid": self.parent, "isSidechain": self.is_side, "userType": "external",
            "cwd": self.desk.cwd, "sessionId": self.session_id, "version": self.version,
            "gitBranch": self.branch, "type": type, "uuid": self.uuid(), "timestamp": iso(self.at_ms),
        }  # fmt: skip
        if self.agent:
            record["agentId"] = self.agent
        record.update(fields)
        self.parent = record["uuid"]
        self.put(record)
        return record

    def raw(self, data: bytes, *, bad: bool) -> None:
        """Write a line that is no record: a bad or a blank one."""
        self.file.write(data)
        self.truth.bytes += len(data)
        self.truth.lines += 1
        if bad:
            self.truth.bad += 1
        else:
            self.truth.blank += 1

    def copy(self, records: Sequence[dict[str, Any]]) -> None:
        """Write records of another session as a fork or resume does: only the session's id is another."""
        for record in records:
            self.put(record | {"sessionId": self.session_id})
            self.parent = record["uuid"]

    # What is said

    def prompt(self, content: Any, **fields: Any) -> dict[str, Any]:
        """What a person types; a sub-agent's is typed by its caller, so counts as no prompt."""
        self.session.prompts += not self.is_side
        return self.add("user", message={"role": "user", "content": content}, **fields)

    def note(self, content: Any, **fields: Any) -> dict[str, Any]:
        """Said in the user's name: no prompt."""
        return self.add("user", message={"role": "user", "content": content}, **fields)

    def respond(self, *blocks: dict[str, Any], late: bool = False) -> ResponseTruth:
        """Write one response: a line per block, sometimes snapshots that grow; `late` keeps its end back."""
        rng = self.rng
        if not late and rng.random() < 0.02:
            self.synthetic()
        message_id = f"msg_{rng.getrandbits(96):024x}" if rng.random() > 0.002 or len(blocks) > 1 else ""
        request_id = f"req_{rng.getrandbits(96):024x}" if rng.random() > 0.03 else ""
        response = ResponseTruth(
            message_id, request_id, "", self.session.key, self.model, day_of(self.at_ms), self.branch,
            self.is_side, self.is_warmup, self._tokens(blocks),
        )  # fmt: skip
        snapshots = len(blocks) > 1 and rng.random() < 0.06
        grows = late or (len(blocks) > 1 and rng.random() < 0.55)
        for number in range(1, len(blocks) + 1):
            last = number == len(blocks) and not late
            output = response.tokens[1] if last or not grows else rng.randrange(1, 9)
            content = list(blocks[:number] if snapshots else blocks[number - 1 : number])
            record = self.answer_line(response, content, output, last)
            if not response.uuid:
                response.uuid = record["uuid"]
                response.day = day_of(self.at_ms)
        self.house.open[message_id or response.uuid] = response
        return response

    def answer_line(
        self, response: ResponseTruth, content: list[dict[str, Any]], output: int, last: bool
    ) -> dict[str, Any]:
        """Write one line of a response."""
        tokens = response.tokens
        usage: dict[str, Any] = {
            "input_tokens": tokens[0], "cache_creation_input_tokens": tokens[3] + tokens[4],
            "cache_read_input_tokens": tokens[2],
            "cache_creation": dict(zip(KEPT_FOR, tokens[3:5], strict=True)),
            "output_tokens": output, "service_tier": "standard",
        }  # fmt: skip
        if self.version.startswith("1."):
            del usage["cache_creation"]
        if tokens[5] or tokens[6]:
            usage["server_tool_use"] = {"web_search_requests": tokens[5], "web_fetch_requests": tokens[6]}
        message: dict[str, Any] = {
            "model": response.model, "id": response.message_id, "type": "message", "role": "assistant",
            "content": content, "stop_reason": "end_turn" if last and self.rng.random() < 0.1 else None,
            "stop_sequence": None, "usage": usage,
        }  # fmt: skip
        if not response.message_id:
            del message["id"]
        ids = {"requestId": response.request_id} if response.request_id else {}
        return self.add("assistant", message=message, **ids)

    def _tokens(self, blocks: Sequence[dict[str, Any]]) -> list[int]:
        rng = self.rng
        output = 12 + sum(len(str(block.get("text") or block.get("input") or "")) for block in blocks) // 4
        hour = rng.randrange(0, 3000) if rng.random() < 0.2 and not self.version.startswith("1.") else 0
        searches = rng.randrange(1, 4) if rng.random() < 0.01 else 0
        return [
            rng.randrange(1, 3000), output, rng.randrange(0, 150_000), rng.randrange(0, 9000), hour, searches,
            searches // 2,
        ]  # fmt: skip

    def synthetic(self, error: str = "") -> None:
        """An answer that Claude Code wrote itself: not billed, in no model's figures."""
        usage = dict.fromkeys(
            ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"), 0
        )
        message = {
            "id": self.uuid(), "model": SYNTHETIC, "type": "message", "role": "assistant",
            "content": [{"type": "text", "text": error or "No response requested."}],
            "stop_reason": "stop_sequence", "stop_sequence": "", "usage": usage,
        }  # fmt: skip
        fields: dict[str, Any] = {"isApiErrorMessage": True, "error": "unknown"} if error else {}
        self.session.api_errors += bool(error)
        self.truth.synthetic += 1
        self.add("assistant", message=message, **fields)

    def calls(self, count: int, *leading: dict[str, Any]) -> None:
        """One response that calls tools, and their results."""
        made = [(call_make(self.desk), self.tool_id()) for _ in range(count)]
        self.respond(*leading, *(self.use(done, tool_id) for done, tool_id in made))
        for done, tool_id in made:
            self.result(done, tool_id)

    def tool_id(self) -> str:
        """The id of a call."""
        return f"toolu_{self.rng.getrandbits(88):022x}"

    def use(self, done: Done, tool_id: str) -> dict[str, Any]:
        """The block of a call, counted."""
        session, tools = self.session, self.truth.tools[done.name]
        session.tool_calls += 1
        tools[0] += 1
        if done.is_error:
            session.tool_errors += 1
            tools[1] += 1
        if done.path:
            session.paths.add(done.path)
        session.lines_added += done.added
        session.lines_removed += done.removed
        return {"type": "tool_use", "id": tool_id, "name": done.name, "input": done.given}

    def result(self, done: Done, tool_id: str, **fields: Any) -> None:
        """What a call answered; one in two hundred is written twice, with one uuid."""
        block: dict[str, Any] = {"tool_use_id": tool_id, "type": "tool_result", "content": done.content}
        if done.is_error:
            block["is_error"] = True
        record = self.add(
            "user", message={"role": "user", "content": [block]}, toolUseResult=done.told, **fields
        )
        if self.rng.random() < 0.004:
            self.put(record)

    def thinking(self, characters: int) -> dict[str, Any]:
        """A block of thinking; its signature does not compress."""
        signature = f"{self.rng.getrandbits(2400):0600x}"
        return {"type": "thinking", "thinking": self.text.prose(characters), "signature": signature}


def said(words: str) -> dict[str, Any]:
    """A block of text."""
    return {"type": "text", "text": words}


def iso(at_ms: int) -> str:
    """As Claude Code writes times."""
    minute, rest = divmod(at_ms, 60_000)
    return f"{_minute(minute)}:{rest // 1000:02}.{rest % 1000:03}Z"


@lru_cache(maxsize=64)
def _minute(minute: int) -> str:
    return f"{datetime.fromtimestamp(minute * 60, UTC):%Y-%m-%dT%H:%M}"


def day_of(at_ms: int) -> int:
    """20261201, UTC."""
    return int(_minute(at_ms // 60_000)[:10].replace("-", ""))
