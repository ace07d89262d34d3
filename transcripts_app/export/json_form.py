"""JSON: index.json, and a file for each session. Schema: docs/transcripts-export.md."""

from __future__ import annotations

import json
from typing import Any

from transcripts_app.archive.models import Session
from transcripts_app.export.out import File, Out
from transcripts_app.export.reading import Line, SessionReader
from transcripts_app.format.kinds import Kind
from transcripts_app.redaction.engine import Redactor

SCHEMA = "sparkweb-transcript-1"
FIGURES = (
    "records", "prompts", "answers", "tool_calls", "tool_errors", "api_errors", "compactions", "agents",
    "files_touched", "lines_added", "lines_removed", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_5m_tokens", "cache_write_1h_tokens", "active_ms", "bytes",
)  # fmt: skip


class JsonForm:
    """sessions/<key>.json, and index.json with every session's figures."""

    def __init__(self) -> None:
        self.redactor: Redactor | None = None

    def begin(self, _sessions: list[Session], redactor: Redactor | None) -> None:
        self.redactor = redactor

    def session(self, out: Out, reader: SessionReader) -> list[str]:
        name = f"sessions/{reader.session.key}.json"
        with out.file(name) as file:
            head = {"schema": SCHEMA, "session": session_json(reader.session, self.redactor)}
            file.write(_dump(head)[:-1] + ',"files":[')
            for number, section in enumerate(reader.sections):
                meta = {"name": section.name, "role": section.file.role, "title": section.title,
                        "agent_id": reader.text(section.file.agent_id)}  # fmt: skip
                file.write(("," if number else "") + _dump(meta)[:-1] + ',"records":[')
                _records(file, reader, number)
                file.write("]}")
            file.write("]}\n")
        return [name]

    def finish(self, out: Out, sessions: list[tuple[Session, str, str]]) -> None:
        with out.file("index.json") as file:
            file.write(f'{{"schema":"{SCHEMA}","sessions":[')
            for number, (session, _, _) in enumerate(sessions):
                one = session_json(session, self.redactor) | {"file": f"sessions/{session.key}.json"}
                file.write(("," if number else "") + _dump(one))
            file.write("]}\n")

    def taken(self, names: list[str]) -> None:
        """Names are of keys: nothing to keep apart."""


def session_json(session: Session, redactor: Redactor | None) -> dict[str, Any]:
    """A session's row, without what only this archive's import knows."""

    def text(value: str) -> str:
        return redactor.text(value) if redactor and value else value

    return {
        "key": session.key, "session_id": text(session.session_id), "title": text(session.title),
        "first_prompt": text(session.first_prompt), "project": {
            "key": session.project.key, "path": text(session.project.path),
            "node": text(session.project.node)},
        "started_ms": session.started_ms, "ended_ms": session.ended_ms, "outcome": session.outcome,
        "branch": text(session.branch), "version": text(session.version), "is_warmup": session.is_warmup,
        "models": [text(str(one)) for one in session.model_names],
        **{name: getattr(session, name) for name in FIGURES},
    }  # fmt: skip


def _records(file: File, reader: SessionReader, number: int) -> None:
    first = True
    for line in reader.read(reader.sections[number]):
        file.write(("" if first else ",") + _dump(record_json(line, reader)))
        first = False


def record_json(line: Line, reader: SessionReader) -> dict[str, Any]:
    """A record: its place, what it is, and the object itself."""
    row = line.row
    return {
        "line": row.line, "kind": Kind(row.kind).name.lower(), "at_ms": row.at_ms,
        "is_copy": row.copy_of is not None, "is_error": row.is_error,
        "agents": [reader.by_file[call.agent_file_id].name for call in line.calls
                   if call.agent_file_id in reader.by_file],
        "record": line.record,
    }  # fmt: skip


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
