"""What control has read of each node's journal, and what it could not apply."""

from __future__ import annotations

from django.contrib import admin

from sparkweb.admin_base import ReadOnlyAdmin
from sparkweb.node_link.models import JournalCursor, RejectedFact


@admin.register(JournalCursor)
class JournalCursorAdmin(ReadOnlyAdmin):
    list_display = ["node_name", "journal", "applied", "updated_at"]
    list_filter = ["node_name"]
    search_fields = ["node_name", "journal"]
    date_hierarchy = "updated_at"


@admin.register(RejectedFact)
class RejectedFactAdmin(ReadOnlyAdmin):
    list_display = ["rejected_at", "node_name", "verb", "sequence", "reason"]
    list_filter = ["node_name", "verb"]
    search_fields = ["node_name", "verb", "reason"]
    date_hierarchy = "rejected_at"
