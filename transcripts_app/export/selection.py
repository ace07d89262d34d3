"""What is exported: the archive, a project, a session, or the sessions that a search finds."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models
from django.db.models import QuerySet

from sparkweb.accounts.models import User
from transcripts_app.access import projects_visible
from transcripts_app.archive.models import Session
from transcripts_app.export.out import ExportRefused

SEARCH_MOST = 5000


class What(models.TextChoices):
    ALL = "all", "Everything that I may see"
    PROJECT = "project", "A project"
    SESSION = "session", "A session"
    SEARCH = "search", "What a search finds"


class Format(models.TextChoices):
    HTML = "html", "HTML that searches itself"
    MARKDOWN = "markdown", "Markdown"
    JSON = "json", "JSON"
    JSONL = "jsonl", "The lines as Claude Code wrote them"


@dataclass(frozen=True)
class Selection:
    """`key` is of a project or session, `query` of a search; `user` None (a command) sees everything."""

    what: What = What.ALL
    key: str = ""
    query: str = ""
    user: User | None = None
    warmups: bool = False


def sessions_selected(selection: Selection) -> QuerySet[Session]:
    """Return the sessions of a selection, oldest first. Raises ExportRefused for what is not there."""
    rows = Session.objects.select_related("project", "source")
    visible = projects_visible(selection.user) if selection.user else None
    if visible is not None:
        rows = rows.filter(project_id__in=visible)
    if selection.what == What.PROJECT:
        rows = rows.filter(project__key=selection.key[:16])
    elif selection.what == What.SESSION:
        rows = rows.filter(key=selection.key[:16])
    elif selection.what == What.SEARCH:
        rows = rows.filter(pk__in=_found(selection))
    if selection.what != What.SESSION and not selection.warmups:
        rows = rows.filter(is_warmup=False)
    rows = rows.order_by(models.F("started_ms").asc(nulls_first=True), "key")
    if not rows.exists():
        raise ExportRefused(_nothing(selection))
    return rows


def _found(selection: Selection) -> list[int]:
    """Ids of the sessions in which a search finds something."""
    from transcripts_app.export.searched import sessions_found

    return sessions_found(selection.query, selection.user, SEARCH_MOST)


def _nothing(selection: Selection) -> str:
    return {
        What.ALL: "There is no session to export yet; import transcripts first",
        What.PROJECT: f"There is no project {selection.key[:16]!r} with sessions",
        What.SESSION: f"There is no session {selection.key[:16]!r}",
        What.SEARCH: f"The search {selection.query[:80]!r} finds nothing",
    }[selection.what]
