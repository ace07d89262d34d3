"""Sessions of tools in the admin panel: looked at, and ended."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from sandbox_app.models import SessionState, ToolSession
from sandbox_app.sessions import tool_session_end
from sparkweb.admin_base import ReadOnlyAdmin, admin_actor


@admin.register(ToolSession)
class ToolSessionAdmin(ReadOnlyAdmin):
    list_display = ["uid", "label", "owner", "node_name", "state", "workspace", "size_bytes", "used_bytes",
                    "used_at", "expires_at"]  # fmt: skip
    list_filter = ["state", "workspace", "node_name"]
    search_fields = ["uid", "label", "owner__username", "node_name", "end_reason"]
    date_hierarchy = "created_at"
    list_select_related = ["owner"]
    actions = ["end_sessions"]

    @admin.action(description="End the chosen sessions, with their files")
    def end_sessions(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """End each as its page would."""
        rows = queryset.filter(state=SessionState.LIVE)
        for session in rows:
            tool_session_end(session=session, actor=admin_actor(request))
        messages.success(request, f"{len(rows)} sessions are ending.")
