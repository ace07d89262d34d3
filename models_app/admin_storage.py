"""Storage in the admin panel: listings as they are, jobs with their timeline and a button to cancel."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from models_app.models_storage import NodeStorage, StorageEvent, StorageItem, StorageJob
from models_app.storage_jobs import job_cancel
from sparkweb.admin_base import ReadOnlyAdmin, ReadOnlyInline, admin_actor

JOB_COLOURS = {
    "requested": "primary",
    "running": "primary",
    "cancelling": "info",
    "done": "success",
    "failed": "danger",
    "cancelled": "info",
}


@admin.register(NodeStorage)
class NodeStorageAdmin(ReadOnlyAdmin):
    list_display = ["node", "listed_at", "left_out_count", "left_out_bytes"]
    list_filter = ["node"]
    search_fields = ["node__name"]
    list_select_related = ["node"]


@admin.register(StorageItem)
class StorageItemAdmin(ReadOnlyAdmin):
    list_display = ["name", "kind", "node", "size_bytes", "used_at", "incomplete"]
    list_filter = ["kind", "node"]
    search_fields = ["name", "key", "note"]
    list_select_related = ["node"]


class StorageEventInline(ReadOnlyInline):
    model = StorageEvent
    fields = ["at", "kind", "message", "actor_label"]


@admin.register(StorageJob)
class StorageJobAdmin(ReadOnlyAdmin):
    list_display = ["title", "kind", "node_name", "state_shown", "requested_by", "created_at", "ended_at"]
    list_filter = ["state", "kind", "live", "node_name"]
    search_fields = ["uid", "title", "node_name", "failure_reason", "requested_by__username"]
    date_hierarchy = "created_at"
    list_select_related = ["requested_by"]
    inlines = [StorageEventInline]
    actions = ["cancel"]

    @display(description="State", label=JOB_COLOURS)
    def state_shown(self, job: StorageJob) -> str:
        return job.state

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, rows: QuerySet[StorageJob]) -> None:
        for job in rows:
            job = job_cancel(job=job, actor=admin_actor(request))
            messages.success(request, f"{job} is {job.get_state_display().lower()}.")


@admin.register(StorageEvent)
class StorageEventAdmin(ReadOnlyAdmin):
    list_display = ["at", "job", "kind", "message", "actor_label"]
    list_filter = ["kind"]
    search_fields = ["job__uid", "job__title", "message", "actor_label"]
    date_hierarchy = "at"
    list_select_related = ["job"]
