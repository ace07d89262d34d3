"""The lines as they were, in Claude Code's own layout; with a profile masked, and the manifest says so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from transcripts_app.archive.models import Record, Session, TranscriptFile
from transcripts_app.export.names import Names, safe_part, safe_path
from transcripts_app.export.out import Out
from transcripts_app.export.reading import SessionReader
from transcripts_app.redaction.engine import Redactor
from transcripts_app.redaction.lines import line_masked
from transcripts_app.store import file_bytes

ROLES = ("session", "agent", "journal", "result")
PLAIN_ID = re.compile(r"[0-9a-f]{6,40}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


class JsonlForm:
    """Files below projects/, as below ~/.claude/projects; a second source has projects-2/ and so on."""

    def __init__(self) -> None:
        self.names = Names()
        self.sources: dict[int, str] = {}

    def begin(self, sessions: list[Session], _redactor: Redactor | None) -> None:
        roots = sorted({(one.source.node, one.source.root, one.source_id) for one in sessions})
        for number, (_, _, source) in enumerate(roots, 1):
            self.sources[source] = "projects" if number == 1 else f"projects-{number}"

    def session(self, out: Out, reader: SessionReader) -> list[str]:
        """Write a session's files. Returns their names."""
        written: list[str] = []
        files = reader.session.files.filter(role__in=ROLES, read_to__gt=0).order_by("path")
        for number, file in enumerate(files, 1):
            name = self.names.once(self._name(reader, file, number))
            with out.file(name) as target:
                if reader.redactor is None:
                    for piece in file_bytes(file):
                        target.write(piece)
                else:
                    for line in file_masked(file, reader.redactor):
                        target.write(line)
            written.append(name)
            if file.role == "agent" and file.meta:
                beside = self.names.once(name.removesuffix(".jsonl") + ".meta.json")
                with out.file(beside) as target:
                    meta = reader.redactor.value(file.meta) if reader.redactor else file.meta
                    target.write(json.dumps(meta, ensure_ascii=False, separators=(",", ":")))
                written.append(beside)
        return written

    def finish(self, out: Out, sessions: list[tuple[Session, str, str]]) -> None:
        """Nothing but the files."""

    def taken(self, names: list[str]) -> None:
        for name in names:
            self.names.once(name)

    def _name(self, reader: SessionReader, file: TranscriptFile, number: int) -> str:
        session, top = reader.session, self.sources[reader.session.source_id]
        if reader.redactor is None:
            return f"{top}/{safe_path(file.path)}"
        folder, stem = f"project-{session.project.key}", _plain(session.session_id, f"session-{session.key}")
        if file.role == "session":
            return f"{top}/{folder}/{stem}.jsonl"
        if file.role == "result":
            return f"{top}/{folder}/{stem}/tool-results/output-{number}.txt"
        kind = "agent" if file.role == "agent" else "journal"
        return f"{top}/{folder}/{stem}/subagents/{kind}-{_plain(file.agent_id, str(number))}.jsonl"


def _plain(name: str, other: str) -> str:
    return safe_part(name) if PLAIN_ID.fullmatch(name) else other


def file_masked(file: TranscriptFile, redactor: Redactor) -> Iterator[bytes]:
    """Yield a file's lines masked; a line that is no record is masked as text."""
    if file.role == "result":
        row = Record.objects.filter(file=file, generation=file.generation).first()
        if row is not None:
            yield redactor.text(b"".join(file_bytes(file)).decode(errors="replace")).encode(errors="replace")
        return
    rest = b""
    for piece in file_bytes(file):
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        for line in lines:
            yield line_masked(line, redactor) + b"\n"
    if rest:
        yield line_masked(rest, redactor)
