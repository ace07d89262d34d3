"""The sessions in which a search finds something."""

from __future__ import annotations

from django.db import connections

from sparkweb.accounts.models import User
from transcripts_app.access import projects_visible
from transcripts_app.archive.models import Session
from transcripts_app.export.out import ExportRefused


def sessions_found(query: str, user: User | None, most: int) -> list[int]:
    """Return ids of the sessions that hold all words of the query, in one record, that the user may see."""
    words = [word.replace('"', "").replace("\0", "") for word in query.split()]
    match = " ".join(f'"{word}"' for word in words if word)
    if not match:
        raise ExportRefused("The search is empty")
    with connections["archive"].cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT r.session_id FROM archive_search f JOIN archive_record r ON r.id = f.rowid "
            "WHERE archive_search MATCH %s AND r.session_id IS NOT NULL LIMIT %s",
            [f"body : ({match})", most],
        )
        found = [row[0] for row in cursor.fetchall()]
    visible = projects_visible(user) if user else None
    if visible is None:
        return found
    return list(Session.objects.filter(pk__in=found, project_id__in=visible).values_list("pk", flat=True))
