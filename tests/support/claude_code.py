"""Writes transcripts as Claude Code does, for tests: projects and sessions, record by record."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

BEGIN = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)


def encoded(cwd: str) -> str:
    """The name of a project's folder."""
    return re.sub(r"[^A-Za-z0-9]", "-", cwd)


class Transcript:
    """One session's file. Methods append a record and return it; `write` writes what is new."""

    def __init__(
        self,
        root: Path,
        cwd: str = "/home/ada/shop",
        session_id: str | None = None,
        *,
        agent: str = "",
        agent_below: bool = True,
        begin: datetime = BEGIN,
    ) -> None:
        self.cwd, self.session_id, self.agent = cwd, session_id or str(uuid.uuid4()), agent
        self.at, self.parent, self.records = begin, None, list[dict[str, Any]]()
        self.branch, self.version, self.model = "main", "2.1.56", "claude-opus-4-5-20251101"
        folder = root / encoded(cwd)
        if agent and agent_below:
            self.path = folder / self.session_id / "subagents" / f"agent-{agent}.jsonl"
        else:
            self.path = folder / (f"agent-{agent}.jsonl" if agent else f"{self.session_id}.jsonl")
        self.written = 0

    def add(self, type: str, **fields: Any) -> dict[str, Any]:
        """Append any record with the common fields; `None` leaves a field out."""
        self.at += timedelta(seconds=2)
        record: dict[str, Any] = {
            "parentUuid": self.parent, "isSidechain": bool(self.agent), "userType": "external",
            "cwd": self.cwd, "sessionId": self.session_id, "version": self.version, "gitBranch": self.branch,
            "type": type, "uuid": str(uuid.uuid4()), "timestamp": _iso(self.at),
        }  # fmt: skip
        if self.agent:
            record["agentId"] = self.agent
        record = {
            name: value
            for name, value in (record | fields).items()
            if value is not None or name == "parentUuid"
        }
        self.parent = record.get("uuid", self.parent)
        self.records.append(record)
        return record

    def bare(self, **fields: Any) -> dict[str, Any]:
        """Append a record without the common fields, as summaries are."""
        self.records.append(fields)
        return fields

    def prompt(self, text: Any, **fields: Any) -> dict[str, Any]:
        return self.add("user", message={"role": "user", "content": text}, **fields)

    def answer(
        self, *blocks: Any, id: str = "", tokens: tuple[int, int] = (10, 20), **fields: Any
    ) -> dict[str, Any]:
        """Append one line of a response; texts become text blocks. `tokens` are input and output."""
        content = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
        usage = {
            "input_tokens": tokens[0], "output_tokens": tokens[1], "cache_read_input_tokens": 1000,
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            "service_tier": "standard",
        }  # fmt: skip
        message = {
            "id": id or f"msg_{uuid.uuid4().hex[:24]}", "type": "message", "role": "assistant",
            "model": self.model, "content": content, "stop_reason": None, "stop_sequence": None,
            "usage": usage,
        }  # fmt: skip
        return self.add("assistant", message=message, requestId=f"req_{message['id'][4:]}", **fields)

    def call(self, name: str, *, id: str = "", response: str = "", **given: Any) -> str:
        """Append a tool call and return its id."""
        tool_id = id or f"toolu_{uuid.uuid4().hex[:22]}"
        self.answer({"type": "tool_use", "id": tool_id, "name": name, "input": given}, id=response)
        return tool_id

    def result(
        self, tool_id: str, content: Any, *, error: bool = False, told: Any = None, **fields: Any
    ) -> dict[str, Any]:
        """Append a tool's result; `told` is toolUseResult."""
        block = {"type": "tool_result", "tool_use_id": tool_id, "content": content}
        if error:
            block["is_error"] = True
        return self.add(
            "user", message={"role": "user", "content": [block]},
            toolUseResult=content if told is None else told, **fields,
        )  # fmt: skip

    def write(self, newline: bool = True) -> Path:
        """Append what was not written yet; without the last newline if so wished."""
        lines = [
            json.dumps(record, ensure_ascii=False, separators=(",", ":"))
            for record in self.records[self.written :]
        ]
        self.append(("\n".join(lines) + ("\n" if newline and lines else "")).encode(errors="surrogatepass"))
        self.written = len(self.records)
        return self.path

    def append(self, data: bytes) -> None:
        """Append bytes as they are."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(data)


def copied(records: Iterable[dict[str, Any]], session_id: str) -> list[dict[str, Any]]:
    """The records as a fork or a resume copies them into another session's file."""
    return [record | {"sessionId": session_id} for record in records]


def _iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
