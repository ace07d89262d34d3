"""Masking of what branches, files, blame and errors show: as each project's pages mask it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from sparkweb.accounts.models import User
from transcripts_app.archive.models import Project, Record, Session
from transcripts_app.insight.content import Row
from transcripts_app.redaction.display import DisplayMask, display_mask, session_texts_mask

HIDDEN = "[masked]"


class Masks:
    """The masks of one answer, project by project. `own` is that of the session that a page is about."""

    def __init__(self, user: User, session: Session | None = None, own: DisplayMask | None = None) -> None:
        self.user = user
        self._kept: dict[str, DisplayMask] = {}
        self._done: set[int] = set()
        if session is not None and own is not None:
            self._kept[session.project.key] = own
            self._done.add(id(session))

    def of(self, project: Project | None) -> DisplayMask:
        """Return what masks a project's texts; without one, likely secrets are masked."""
        key = project.key if project is not None else ""
        if key not in self._kept:
            self._kept[key] = display_mask(self.user, project)
        return self._kept[key]

    def session(self, session: Session | None) -> None:
        """Mask what a session's row says, in place, once."""
        if session is not None and id(session) not in self._done:
            self._done.add(id(session))
            mask = self.of(session.project)
            session_texts_mask(session, mask)

    def record(self, record: Record | None) -> None:
        """Mask a record's preview and its session's texts, in place, once."""
        if record is None or id(record) in self._done:
            return
        self._done.add(id(record))
        session = record.session
        record.preview = self.of(session.project if session is not None else None).text(record.preview)
        self.session(session)

    def texts_of(self, projects: Iterable[Project]) -> Callable[[str], str]:
        """Return what masks a text that several projects have a part in: as each of them says."""
        masks = list({project.key: self.of(project) for project in projects}.values()) or [self.of(None)]

        def masked(text: str) -> str:
            for mask in masks:
                text = mask.text(text)
            return text

        return masked


def lines_masked(lines: Sequence[str], masked: Callable[[str], str]) -> list[str]:
    """Return lines as they may be drawn, as many as there were: a secret may span several."""
    whole = "\n".join(lines)
    shown = masked(whole)
    if shown == whole:
        return list(lines)
    parts = shown.split("\n")
    if len(parts) == len(lines):
        return parts
    result = [HIDDEN] * len(lines)
    matcher = difflib.SequenceMatcher(None, lines, parts, autojunk=False)
    for old, _, length in matcher.get_matching_blocks():
        result[old : old + length] = lines[old : old + length]
    return result


def rows_masked(rows: list[Row], masked: Callable[[str], str]) -> list[Row]:
    """Return rows of a content as they may be drawn; gaps stay."""
    texts = lines_masked([row.text or "" for row in rows], masked)
    return [
        row if row.text is None or row.text == text else replace(row, text=text)
        for row, text in zip(rows, texts, strict=True)
    ]
