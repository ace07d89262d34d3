"""Sources of transcripts, and what was asked of the archive, in the admin panel."""

from __future__ import annotations

from django.contrib import admin

from sparkweb.admin_base import ReadOnlyAdmin
from transcripts_app.models import ProjectAccess
from transcripts_app.models_keeping import SessionNote, SessionTag
from transcripts_app.models_requests import ArchiveRequest, TranscriptSource
from transcripts_app.models_shares import ShareLink
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


@admin.register(ProjectAccess)
class ProjectAccessAdmin(ReadOnlyAdmin):
    list_display = ["project_key", "owner", "visibility"]
    list_filter = ["visibility"]
    search_fields = ["=project_key"]


@admin.register(SessionTag)
class SessionTagAdmin(ReadOnlyAdmin):
    list_display = ["name", "session_key", "added_label", "added_at"]
    list_filter = ["name"]
    search_fields = ["name", "=session_key"]


@admin.register(SessionNote)
class SessionNoteAdmin(ReadOnlyAdmin):
    list_display = ["session_key", "author_label", "created_at", "text"]
    list_filter = ["author_label"]
    search_fields = ["text", "=session_key"]


@admin.register(ShareLink)
class ShareLinkAdmin(ReadOnlyAdmin):
    list_display = ["prefix", "session_key", "created_by", "created_at", "expires_at", "revoked_at", "opened"]
    list_filter = ["created_by"]
    search_fields = ["prefix", "=session_key"]
