"""Sources of transcripts, and what was asked of the archive, in the admin panel."""

from __future__ import annotations

from django.contrib import admin

from sparkweb.admin_base import ReadOnlyAdmin
from transcripts_app.models_requests import ArchiveRequest, TranscriptSource
from transcripts_app.models_uploads import TranscriptUpload


@admin.register(TranscriptSource)
class TranscriptSourceAdmin(ReadOnlyAdmin):
    list_display = ["path", "node", "owner", "enabled", "added_by", "added_at", "removed_at"]
    list_filter = ["node", "enabled"]
    search_fields = ["path"]


@admin.register(ArchiveRequest)
class ArchiveRequestAdmin(ReadOnlyAdmin):
    list_display = ["id", "kind", "state", "requested_label", "requested_at", "ended_at", "error"]
    list_filter = ["kind", "state"]
    search_fields = ["requested_label", "error"]


@admin.register(TranscriptUpload)
class TranscriptUploadAdmin(ReadOnlyAdmin):
    list_display = ["name", "owner", "size_bytes", "created_at", "request"]
    list_filter = ["owner"]
    search_fields = ["name"]
