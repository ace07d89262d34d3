"""What the matches of a search are of: tools, projects, models, kinds, months, errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from transcripts_app.archive.models import Session, moment
from transcripts_app.format.kinds import Kind
from transcripts_app.redaction.display import DisplayMask
from transcripts_app.redaction.rules import likely_rules
from transcripts_app.search.filters import PLACES
from transcripts_app.search.run import Search
from transcripts_app.search.scope import Scope

SAMPLED_MOST = 2_000
VALUES_MOST = 8
_PLACE_OF = {kind.value: name for name, kinds in PLACES.items() for kind in kinds} | {
    Kind.RESULT_FILE.value: "output"
}


@dataclass(frozen=True)
class Value:
    """A filter that narrows the search further, and how many matches it leaves."""

    label: str
    word: str  # of the query language
    count: int


@dataclass(frozen=True)
class Counts:
    """Values by group, the commonest first. `sampled`: so many matches, those read last, were counted."""

    groups: list[tuple[str, list[Value]]]
    sampled: int | None = None


def counts_of(search: Search) -> Counts:
    """Count what a search's matches are of. Raises TooLong."""
    rows = search.rows("r.kind, r.tool, r.model, r.is_error, r.session_id, r.at_ms", SAMPLED_MOST + 1)
    sampled = SAMPLED_MOST if len(rows) > SAMPLED_MOST else None
    rows = rows[:SAMPLED_MOST]
    projects = _projects({row[4] for row in rows if row[4] is not None})
    groups = [
        ("Where", _values("in", (_PLACE_OF.get(row[0], "") for row in rows))),
        ("Tool", _values("tool", (row[1] for row in rows))),
        ("Project", _values("project", (projects.get(row[4], "") for row in rows))),
        ("Model", _values("model", (row[2] for row in rows))),
        (
            "Month",
            sorted(_values("on", (_month(row[5]) for row in rows)), key=lambda one: one.label, reverse=True),
        ),
        ("State", _values("is", ("error" if row[3] else "" for row in rows))),
    ]
    return Counts([(name, values) for name, values in groups if values], sampled)


def filter_word(name: str, value: str) -> str:
    """Write a filter so that `query_parse` reads it: quoted where it must be."""
    plain = value.replace('"', " ")
    return (
        f'{name}:"{plain}"'
        if any(letter in plain for letter in " ,()\u201c\u201d") or not plain
        else f"{name}:{plain}"
    )


def is_masked(value: str) -> bool:
    """Whether a name holds a likely secret, so that no list offers it."""
    return DisplayMask(likely_rules()).text(value) != value


def _values(name: str, found: Iterable[str]) -> list[Value]:
    counter = Counter(value for value in found if value)
    return [
        Value(value, filter_word(name, value), count)
        for value, count in counter.most_common(VALUES_MOST)
        if not is_masked(value)
    ]


def _projects(sessions: set[int]) -> dict[int, str]:
    rows = Scope(frozenset(sessions)).sessions_of(Session.objects.all())
    return dict(rows.values_list("pk", "project__name"))


def _month(at_ms: int | None) -> str:
    at: datetime | None = moment(at_ms)
    return f"{at.astimezone(UTC):%Y-%m}" if at else ""
