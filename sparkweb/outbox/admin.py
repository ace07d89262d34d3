"""The outbox in the admin panel: what was told to whom, and what waits."""

from __future__ import annotations

from django.contrib import admin
from unfold.decorators import display

from sparkweb.admin_base import ReadOnlyAdmin
from sparkweb.outbox.models import Notice

STATE_COLOURS = {"waiting": "primary", "delivered": "success", "failed": "danger", "dropped": "warning"}


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "channel", "subject", "state_shown", "attempts", "last_result", "next_at"]
    list_filter = ["channel", "state"]
    search_fields = ["uid", "recipient", "subject", "last_result"]
    date_hierarchy = "created_at"

    @display(description="State", label=STATE_COLOURS)
    def state_shown(self, notice: Notice) -> str:
        return notice.state
