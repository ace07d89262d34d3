"""Exporting a selection in one form: session by session, memory flat, only what changed written anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from transcripts_app.archive.models import Session
from transcripts_app.export.html import HtmlForm
from transcripts_app.export.json_form import JsonForm
from transcripts_app.export.jsonl import JsonlForm
from transcripts_app.export.markdown import MarkdownForm
from transcripts_app.export.out import FolderOut, Out
from transcripts_app.export.reading import SessionReader
from transcripts_app.export.selection import Format
from transcripts_app.redaction.engine import Redactor
from transcripts_app.redaction.profiles import rules_of

FORM_VERSION = 1
"""Counts up when pages look another way: what was exported before is then written anew."""
FORMS: dict[str, Callable[[], Any]] = {
    Format.HTML: HtmlForm, Format.MARKDOWN: MarkdownForm, Format.JSON: JsonForm, Format.JSONL: JsonlForm,
}  # fmt: skip
Progress = Callable[[int, int], None]
"""Told how many sessions are done, and how many there are. What it raises ends the export."""


@dataclass
class Result:
    """What an export did."""

    sessions: int
    written: int  # sessions that were written anew
    unchanged: bool  # nothing at all was to do
    masked: int = 0


def export_run(
    sessions: QuerySet[Session],
    out: Out,
    *,
    format: str,
    profile: Mapping[str, Any] | None = None,
    incremental: bool = True,
    progress: Progress | None = None,
) -> Result:
    """Write these sessions; the export is in its place afterwards, or, if this raises, what was there before.

    `profile` is what `models_redaction.frozen` returns. Without `incremental` nothing is taken over.
    """
    try:
        return _Run(out, format, profile, incremental, progress).run(sessions)
    except BaseException:
        out.drop()
        raise


class _Run:
    def __init__(
        self, out: Out, format: str, profile: Mapping[str, Any] | None, incremental: bool,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        self.out, self.format, self.profile, self.progress = out, format, profile, progress
        rules = rules_of(profile)
        self.redactor = Redactor(rules) if rules else None
        self.before = out.before if incremental and isinstance(out, FolderOut) else {}

    def run(self, sessions: QuerySet[Session]) -> Result:
        rows = list(sessions)
        prints = {row.key: fingerprint(row, self.format) for row in rows}
        about = self._about(prints)
        unchanged = all(self.before.get(name) == value for name, value in about.items() if name != "sessions")
        told = self.before.get("sessions", {}) if unchanged else {}
        kept = {key: one["files"] for key, one in told.items() if one["fingerprint"] == prints.get(key)}
        if kept.keys() == prints.keys() == told.keys() and self._files_are_there():
            self.out.drop()
            return Result(len(rows), 0, True)
        if self.redactor is not None:
            kept = {}  # a value's number depends on all that came before it
        return self._write(rows, about, prints, kept)

    def _write(
        self, rows: list[Session], about: dict[str, Any], prints: dict[str, str], kept: dict[str, list[str]]
    ) -> Result:
        form, files, heads, written = FORMS[self.format](), dict[str, list[str]](), [], 0
        form.begin(rows, self.redactor)
        for number, row in enumerate(rows, 1):
            if row.key in kept and self.out.reuse(kept[row.key]):
                files[row.key] = kept[row.key]
                form.taken(files[row.key])
                title, path = row.title or "(no title)", row.project.path
            else:
                reader = SessionReader(row, self.redactor)
                files[row.key] = form.session(self.out, reader)
                title, path, written = reader.title, reader.text(row.project.path), written + 1
            heads.append((row, title, path))
            if self.progress:
                self.progress(number, len(rows))
        form.finish(self.out, heads)
        about["sessions"] = {key: {"fingerprint": prints[key], "files": files[key]} for key in sorted(files)}
        self.out.done(about)
        return Result(len(rows), written, False, self.redactor.counts.total() if self.redactor else 0)

    def _about(self, prints: dict[str, str]) -> dict[str, Any]:
        redacted: dict[str, Any] = {"redacted": False}
        if self.profile is not None:
            digest = hashlib.sha256(json.dumps(dict(self.profile), sort_keys=True).encode()).hexdigest()
            redacted = {"redacted": True, "profile": self.profile["name"], "profile_digest": digest}
        return {"format": self.format, "form_version": FORM_VERSION, **redacted, "sessions": prints}

    def _files_are_there(self) -> bool:
        """Whether each file of the export before is there, with its size."""
        folder, told = self.out.path, self.before["files"]  # type: ignore[attr-defined]
        return all(
            (folder / name).is_file() and (folder / name).stat().st_size == one["bytes"]
            for name, one in told.items()
        )


def fingerprint(session: Session, format: str) -> str:
    """Return a digest of all that a session's files are made of; the same for the same transcripts."""
    digest = hashlib.sha256(f"{FORM_VERSION}\0{format}\0{session.key}\0{session.title}\0".encode())
    digest.update(f"{session.project.path}\0{session.branch}\0{session.outcome}\0".encode())
    for file in session.files.order_by("path"):
        digest.update(
            f"{file.path}\0{file.role}\0{file.generation}\0{file.read_to}\0".encode(errors="replace")
        )
        digest.update(bytes(file.fingerprint) + json.dumps(file.meta, sort_keys=True).encode())
    return digest.hexdigest()[:32]
