"""Lists of sessions: what a user may see of them, narrowed, sorted, counted, page by page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum, TextField
from django.db.models.functions import Cast

from sparkweb.accounts.models import User
from transcripts_app.access import projects_visible
from transcripts_app.archive.models import Project, Session
from transcripts_app.redaction.display import sessions_mask
from transcripts_app.selectors_keeping import sessions_kept

PAGE_ROWS = 30
PAGE_MOST = 100_000
OUTCOMES = ("running", "done", "interrupted", "error", "empty")
CHOICES_MOST = 500  # of a filter
TOKENS = (
    F("input_tokens") + F("output_tokens") + F("cache_read_tokens")
    + F("cache_write_5m_tokens") + F("cache_write_1h_tokens")
)  # fmt: skip
ERRORS = F("tool_errors") + F("api_errors")
SORTS = {
    "newest": ("-started_ms", "-pk"),
    "oldest": ("started_ms", "pk"),
    "changed": ("-changed_ms", "-pk"),
    "longest": ("-active_ms", "-pk"),
    "tokens": ("-tokens", "-pk"),
    "cost": ("-cost_micros", "-pk"),
    "errors": ("-errors", "-pk"),
}
MARKS = {
    "errors": Q(tool_errors__gt=0) | Q(api_errors__gt=0),
    "agents": Q(agents__gt=0),
    "fork": Q(forked_from__isnull=False),
    "compacted": Q(compactions__gt=0),
    "gone": Q(gone_ms__isnull=False),
    "secrets": Q(secrets__gt=0),
}


@dataclass(frozen=True)
class SessionFilter:
    """What a list is narrowed to. `model` and `branch` may be parts; `text`: in title and prompt."""

    text: str = ""
    project: str = ""
    model: str = ""
    branch: str = ""
    outcome: str = ""
    mark: str = ""
    since: datetime | None = None
    until: datetime | None = None
    starred: bool = False
    noted: bool = False
    tag: str = ""
    warmups: bool = False
    sort: str = "newest"
    page: int = 1

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out but by page."""
        same = replace(self, page=1, sort="newest", warmups=False)
        return same != SessionFilter()


@dataclass(frozen=True)
class SessionPage:
    """Sessions of one page; counts of all that match. `unpriced`: sessions whose cost is not known.

    `cost_micros` is that of the others; None where there are none.
    """

    sessions: list[Session]
    total: int
    warmups: int
    pages: int
    tokens: int
    cost_micros: int | None
    unpriced: int


def sessions_visible(user: User) -> QuerySet[Session]:
    """Return the sessions of projects that a user may see."""
    visible = projects_visible(user)
    return Session.objects.all() if visible is None else Session.objects.filter(project__in=visible)


def session_page(user: User, wanted: SessionFilter, rows: int = PAGE_ROWS) -> SessionPage:
    """Return one page of the sessions that a user may see; warm-ups only where asked for."""
    kept = sessions_kept(
        user, sessions_visible(user), starred=wanted.starred, tag=wanted.tag, noted=wanted.noted
    )
    matching = sessions_narrowed(kept, wanted)
    shown = Q() if wanted.warmups else Q(is_warmup=False)
    sums = matching.aggregate(
        total=Count("pk", filter=shown), warmups=Count("pk", filter=Q(is_warmup=True)),
        tokens=Sum(TOKENS, filter=shown), cost=Sum("cost_micros", filter=shown),
        unpriced=Count("pk", filter=shown & Q(cost_micros=None)),
    )  # fmt: skip
    matching, total = matching.filter(shown), sums["total"]
    first = (wanted.page - 1) * rows
    sessions = list(sessions_sorted(matching, wanted.sort)[first : first + rows])
    sessions_mask(sessions)
    return SessionPage(
        sessions=sessions,
        total=total,
        warmups=sums["warmups"],
        pages=max(1, -(-total // rows)),
        tokens=sums["tokens"] or 0,
        cost_micros=sums["cost"] if sums["unpriced"] else sums["cost"] or 0,
        unpriced=sums["unpriced"],
    )


def sessions_sorted(sessions: QuerySet[Session], sort: str) -> QuerySet[Session]:
    """Return sessions in one of SORTS' orders, with project, source, origin and sums."""
    rows = sessions.annotate(tokens=TOKENS, errors=ERRORS)
    return rows.select_related("project", "source", "forked_from").order_by(*SORTS[sort])


def sessions_narrowed(sessions: QuerySet[Session], wanted: SessionFilter) -> QuerySet[Session]:
    """Leave out what a filter does not ask for; warm-ups stay in."""
    equal: dict[str, Any] = {
        "project__key": wanted.project,
        "outcome": wanted.outcome,
        "branch__icontains": wanted.branch,
        "started_ms__gte": wanted.since and _ms(wanted.since),
        "started_ms__lt": wanted.until and _ms(wanted.until),
    }
    sessions = sessions.filter(**{name: value for name, value in equal.items() if value or value == 0})
    if wanted.model:
        named = sessions.annotate(models_text=Cast("model_names", TextField()))
        sessions = named.filter(models_text__icontains=wanted.model)
    if wanted.mark:
        sessions = sessions.filter(MARKS[wanted.mark])
    if wanted.text:
        sessions = sessions.filter(
            Q(title__icontains=wanted.text)
            | Q(first_prompt__icontains=wanted.text)
            | Q(session_id__startswith=wanted.text.lower())
        )
    return sessions


def session_choices(user: User) -> dict[str, list[Any]]:
    """Return what the filters offer: projects that hold sessions, models, branches."""
    sessions = sessions_visible(user)
    lists = sessions.values_list("model_names", flat=True).distinct()
    branches = sessions.exclude(branch="").order_by("branch").values_list("branch", flat=True).distinct()
    return {
        "projects": list(Project.objects.filter(pk__in=sessions.values("project")).order_by("name", "path")),
        "models": sorted({name for names in lists for name in names})[:CHOICES_MOST],
        "branches": list(branches[:CHOICES_MOST]),
    }


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
