"""What a page or a call shows of a search: records with session, project, label and snippets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import NoReverseMatch, reverse

from transcripts_app.archive.models import Project, Record, Session
from transcripts_app.format.kinds import Kind
from transcripts_app.redaction.display import Masks, session_texts_mask
from transcripts_app.search.query import Query
from transcripts_app.search.scope import Scope
from transcripts_app.search.snippets import Marker, Piece, Snippet, segments_of, snippets_of
from transcripts_app.store import RawLines

LINE_MOST = 4 * 2**20
ALL_LINES_MOST = 24 * 2**20
GROUPED_MOST = 200
OF_GROUP_MOST = 3


@dataclass(frozen=True)
class Hit:
    """A record that was found."""

    record: Record
    session: Session | None
    project: Project | None
    snippets: list[Snippet]

    @property
    def url(self) -> str:
        """Where it stands in its session; empty where no page shows it."""
        if self.session is None:
            return ""
        try:
            return reverse("transcript_record", args=[self.session.key, self.record.pk])
        except NoReverseMatch:
            return ""

    @property
    def label(self) -> str:
        return (
            self.snippets[0].label if self.snippets else Kind(self.record.kind).name.lower().replace("_", " ")
        )


@dataclass(frozen=True)
class SessionHits:
    """The hits of one session, the best first; `more` are not shown."""

    session: Session | None
    hits: list[Hit]
    more: int


def hits_of(records: Sequence[int], query: Query, scope: Scope) -> list[Hit]:
    """Return records in this order with their snippets. One outside of the scope is left out."""
    rows = Record.objects.in_bulk(list(records))
    shown = [rows[pk] for pk in records if pk in rows and scope.has(rows[pk].session_id)]
    sessions = Session.objects.select_related("project").in_bulk({row.session_id for row in shown})
    masks = Masks()
    for session in sessions.values():
        session_texts_mask(session, masks.of(session.project))
    lines, marker = RawLines(), Marker(query.phrases)
    readable = _readable(shown)
    lines.load(row for row in shown if row.pk in readable)
    found = []
    for row in shown:
        of = sessions.get(row.session_id or 0)
        snippets = [_large(row)]
        if row.pk in readable:
            mask = masks.of(of.project if of else None)
            snippets = snippets_of(segments_of(lines.line(row), row.kind, row.tool, mask), marker)
        found.append(Hit(row, of, of.project if of else None, snippets))
    return found


def groups_of(records: Sequence[int], query: Query, scope: Scope) -> list[SessionHits]:
    """Return the sessions of these records in the order of their best one, each with a few of its hits."""
    sessions = dict(Record.objects.filter(pk__in=records).values_list("pk", "session_id"))
    groups: dict[int | None, list[int]] = {}
    for record in records:
        if record in sessions:
            groups.setdefault(sessions[record], []).append(record)
    wanted = [record for group in groups.values() for record in group[:OF_GROUP_MOST]]
    hits = {hit.record.pk: hit for hit in hits_of(wanted, query, scope)}
    found = []
    for group in groups.values():
        shown = [hits[record] for record in group[:OF_GROUP_MOST] if record in hits]
        if shown:
            found.append(SessionHits(shown[0].session, shown, len(group) - len(shown)))
    return found


def _readable(rows: Sequence[Record]) -> set[int]:
    """Records whose lines are read for snippets: not a huge one, and not too many large ones."""
    left, found = ALL_LINES_MOST, set()
    for row in rows:
        if row.length <= min(LINE_MOST, left):
            left -= row.length
            found.add(row.pk)
    return found


def _large(row: Record) -> Snippet:
    return Snippet(
        "Large record", (Piece(f"This record has {row.length / 2**20:.1f} MiB; open it to see it."),)
    )
