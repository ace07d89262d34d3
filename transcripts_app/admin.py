"""The archive in the admin panel: shown, never changed. The import process alone writes it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from sparkweb.admin_base import ReadOnlyAdmin, ReadOnlyInline
from transcripts_app.archive.models import (
    BadLine,
    ImportFile,
    ImportRun,
    Project,
    Session,
    Source,
    TranscriptFile,
)
from transcripts_app.models_search import SavedSearch

INLINE_ROWS = 50


class ArchiveAdmin(ReadOnlyAdmin):
    """Django would open a transaction to write before it asks whether anybody may: refuse first."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        _refuse_change(request)
        return super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        _refuse_change(request)
        return super().delete_view(request, *args, **kwargs)


def _refuse_change(request: HttpRequest) -> None:
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        raise PermissionDenied("The archive is written by the import alone.")


class ImportFileInline(ReadOnlyInline):
    model = ImportFile
    fields = ["file", "count"]
    ordering = ["pk"]
    per_page = INLINE_ROWS


class BadLineInline(ReadOnlyInline):
    model = BadLine
    fields = ["generation", "line", "start", "length", "reason"]
    ordering = ["pk"]
    per_page = INLINE_ROWS


@admin.register(Source)
class SourceAdmin(ArchiveAdmin):
    list_display = ["root", "node", "kind", "owner", "seen_ms", "problem"]
    list_filter = ["kind", "node"]
    search_fields = ["root", "node", "owner"]


@admin.register(Project)
class ProjectAdmin(ArchiveAdmin):
    list_display = ["name", "path", "node", "path_guessed", "key"]
    list_filter = ["node", "path_guessed"]
    search_fields = ["path", "=key"]


@admin.register(Session)
class SessionAdmin(ArchiveAdmin):
    list_display = ["title", "project", "started_at", "outcome", "records", "tool_errors", "is_warmup", "key"]
    list_filter = ["outcome", "is_warmup"]
    list_select_related = ["project"]
    search_fields = ["title", "first_prompt", "=key", "=session_id"]


@admin.register(TranscriptFile)
class TranscriptFileAdmin(ArchiveAdmin):
    list_display = ["path", "role", "lines", "bad_lines", "read_to", "size", "generation", "problem"]
    list_filter = ["role"]
    search_fields = ["path"]
    inlines = [BadLineInline]


@admin.register(ImportRun)
class ImportRunAdmin(ArchiveAdmin):
    list_display = ["id", "trigger", "state", "started_ms", "ended_ms", "error"]
    list_filter = ["trigger", "state"]
    search_fields = ["error"]
    inlines = [ImportFileInline]


@admin.register(SavedSearch)
class SavedSearchAdmin(ReadOnlyAdmin):
    """What people keep is theirs: shown, not changed."""

    list_display = ["name", "user", "query", "sort", "created_at"]
    list_filter = ["user"]
    search_fields = ["name", "query"]


from transcripts_app import admin_export, admin_intake  # noqa: E402, F401
from transcripts_app.admin_prices import ModelPriceAdmin  # noqa: E402, F401 - registers itself
