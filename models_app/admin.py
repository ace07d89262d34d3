"""Definitions and launches in the admin panel: start, stop and restart go through the services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from metrics_app.selectors import local_node
from models_app import admin_changes, admin_schedules, admin_storage, admin_webhooks  # noqa: F401 - they register
from models_app.exceptions import LaunchRefused
from models_app.models import (
    CatalogueDefaults,
    GuardianAct,
    Launch,
    LaunchAttempt,
    LaunchEvent,
    LaunchMember,
    LogChunk,
    ModelDefinition,
    NodeWeights,
    StageTiming,
)
from models_app.models_preflight import Preflight
from models_app.services import definition_delete, definition_save, launch_create, launch_restart, launch_stop
from sparkweb.admin_base import ReadOnlyAdmin, ReadOnlyInline, ServiceAdmin, admin_actor

STATE_COLOURS = {
    "ready": "success",
    "degraded": "warning",
    "failed": "danger",
    "parked": "danger",
    "lost": "warning",
    "stopping": "info",
    "stopped": "info",
    "requested": "primary",
    "pulling": "primary",
    "starting": "primary",
    "loading": "primary",
}


@admin.register(ModelDefinition)
class ModelDefinitionAdmin(ServiceAdmin):
    list_display = [
        "name",
        "slug",
        "engine",
        "port",
        "estimated_memory_gb",
        "publish",
        "enabled",
        "priority",
        "pinned",
        "updated_at",
    ]
    list_filter = ["engine", "enabled", "publish", "pinned", "start_on_boot"]
    search_fields = ["slug", "name", "model_id", "description"]
    date_hierarchy = "created_at"
    readonly_fields = ["created_at", "updated_at"]
    actions = ["start"]
    fieldsets = [
        (None, {"fields": ["name", "slug", "description", "enabled", "position"]}),
        (
            "Runs",
            {
                "fields": [
                    "engine",
                    "model_id",
                    "image",
                    "port",
                    "publish",
                    "node_count",
                    "estimated_memory_gb",
                    "settings",
                ]
            },
        ),
        ("When memory runs out", {"fields": ["priority", "pinned"]}),
        ("Through the day", {"fields": ["idle_minutes", "start_on_boot"]}),
        ("Kept from models.yaml", {"fields": ["container_name", "script_dir", "extra"], "classes": ["tab"]}),
        ("Dates", {"fields": ["created_at", "updated_at"], "classes": ["tab"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: ModelDefinition | None = None) -> list[str]:
        return [*self.readonly_fields, "slug"] if obj else list(self.readonly_fields)

    @admin.action(description="Start on this machine")
    def start(self, request: HttpRequest, rows: QuerySet[ModelDefinition]) -> None:
        node = local_node()
        if node is None:
            messages.error(request, "There is no node yet; run manage.py prepare.")
            return
        for definition in rows:
            try:
                launch, made = launch_create(definition=definition, node=node, actor=admin_actor(request))
            except LaunchRefused as refused:
                hint = (refused.data or {}).get("hint", "")
                messages.error(request, f"{definition}: {refused.message}. {hint}".strip(". ") + ".")
            else:
                messages.success(request, f"{launch} is {'requested' if made else 'live already'}.")

    def save_model(self, request: HttpRequest, obj: ModelDefinition, form: Any, change: bool) -> None:
        definition_save(definition=obj, actor=admin_actor(request))

    def has_delete_permission(self, request: HttpRequest, obj: ModelDefinition | None = None) -> bool:
        runs = obj is not None and Launch.objects.filter(definition=obj, live=True).exists()
        return not runs and super().has_delete_permission(request, obj)

    def delete_model(self, request: HttpRequest, obj: ModelDefinition) -> None:
        definition_delete(definition=obj, actor=admin_actor(request))


class AttemptInline(ReadOnlyInline):
    model = LaunchAttempt
    fields = ["number", "started_at", "ready_at", "ended_at", "outcome", "failure_reason"]


class EventInline(ReadOnlyInline):
    model = LaunchEvent
    fields = ["at", "kind", "from_state", "to_state", "message", "actor_label"]


@admin.register(Launch)
class LaunchAdmin(ReadOnlyAdmin):
    list_display = [
        "definition_slug",
        "node_name",
        "state_shown",
        "requested_by",
        "created_at",
        "ready_at",
        "ended_at",
    ]
    list_filter = ["state", "live", "engine", "node_name", "adopted_foreign"]
    search_fields = ["uid", "definition_slug", "node_name", "failure_reason", "requested_by__username"]
    date_hierarchy = "created_at"
    list_select_related = ["requested_by"]
    inlines = [AttemptInline, EventInline]
    actions = ["stop", "restart"]

    @display(description="State", label=STATE_COLOURS)
    def state_shown(self, launch: Launch) -> str:
        return launch.state

    @admin.action(description="Stop")
    def stop(self, request: HttpRequest, rows: QuerySet[Launch]) -> None:
        _each(request, rows, launch_stop, "is asked to stop")

    @admin.action(description="Restart")
    def restart(self, request: HttpRequest, rows: QuerySet[Launch]) -> None:
        _each(request, rows, launch_restart, "is asked to restart")


def _each(request: HttpRequest, rows: QuerySet[Launch], service: Callable[..., Launch], done: str) -> None:
    for launch in rows:
        try:
            service(launch=launch, actor=admin_actor(request))
        except LaunchRefused as refused:
            messages.error(request, refused.message)
        else:
            messages.success(request, f"{launch} {done}.")


@admin.register(LaunchAttempt)
class LaunchAttemptAdmin(ReadOnlyAdmin):
    list_display = ["launch", "number", "outcome", "started_at", "ready_at", "ended_at", "failure_reason"]
    list_filter = ["outcome"]
    search_fields = ["launch__uid", "launch__definition_slug", "failure_reason"]
    date_hierarchy = "started_at"
    list_select_related = ["launch"]


@admin.register(StageTiming)
class StageTimingAdmin(ReadOnlyAdmin):
    list_display = ["attempt", "name", "seconds", "began_at", "progress_at"]
    list_filter = ["name"]
    search_fields = ["attempt__launch__uid", "attempt__launch__definition_slug"]
    date_hierarchy = "began_at"
    list_select_related = ["attempt__launch"]


@admin.register(LaunchMember)
class LaunchMemberAdmin(ReadOnlyAdmin):
    list_display = [
        "container_name",
        "node",
        "port",
        "phase",
        "image",
        "exit_code",
        "started_at",
        "finished_at",
    ]
    list_filter = ["live", "node", "phase", "oom_killed"]
    search_fields = ["uid", "container_name", "container_id", "image"]
    date_hierarchy = "started_at"
    list_select_related = ["node"]


@admin.register(Preflight)
class PreflightAdmin(ReadOnlyAdmin):
    list_display = ["definition_slug", "nodes", "passed", "requested_by", "created_at"]
    list_filter = ["passed"]
    search_fields = ["uid", "definition_slug"]
    date_hierarchy = "created_at"
    list_select_related = ["requested_by"]


@admin.register(LogChunk)
class LogChunkAdmin(ReadOnlyAdmin):
    list_display = ["member", "number", "first_line", "lines", "size_bytes", "is_last", "stored_at"]
    list_filter = ["is_last"]
    search_fields = ["member__uid", "member__container_name"]
    date_hierarchy = "stored_at"
    list_select_related = ["member"]


@admin.register(LaunchEvent)
class LaunchEventAdmin(ReadOnlyAdmin):
    list_display = ["at", "launch", "kind", "from_state", "to_state", "message", "actor_label"]
    list_filter = ["kind", "to_state"]
    search_fields = ["launch__uid", "launch__definition_slug", "message", "actor_label"]
    date_hierarchy = "at"
    list_select_related = ["launch"]


@admin.register(NodeWeights)
class NodeWeightsAdmin(ReadOnlyAdmin):
    list_display = ["model_id", "engine", "node", "status", "weights_bytes", "seen_at"]
    list_filter = ["status", "engine", "node"]
    search_fields = ["model_id", "file"]
    list_select_related = ["node"]


@admin.register(CatalogueDefaults)
class CatalogueDefaultsAdmin(ReadOnlyAdmin):
    list_display = ["schema_version", "defaults"]
    list_filter = ["schema_version"]
    search_fields = ["schema_version"]


@admin.register(GuardianAct)
class GuardianActAdmin(ReadOnlyAdmin):
    list_display = ["at", "node_name", "action", "definition_slug", "victim_kind", "cause", "sentence"]
    list_filter = ["action", "cause", "victim_kind", "node_name"]
    search_fields = ["uid", "node_name", "definition_slug", "sentence", "launch__uid"]
    date_hierarchy = "at"
    list_select_related = ["launch"]
