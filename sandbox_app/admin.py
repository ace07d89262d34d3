"""Tools in the admin panel; their files are on disk, what is decided about them stands here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action

from sandbox_app import admin_audit, admin_runs, admin_sessions  # noqa: F401 - they register
from sandbox_app.forms_tools import ToolDecisionForm
from sandbox_app.models import ImageBuild, ManagedService, SelfTest, Tool
from sandbox_app.tool_changes import tool_change
from sparkweb.admin_base import ReadOnlyAdmin, ServiceAdmin, admin_actor


@admin.register(Tool)
class ToolAdmin(ServiceAdmin):
    form = ToolDecisionForm
    list_display = ["name", "version", "enabled", "approval", "role", "missing", "problem", "loaded_at"]
    list_filter = ["enabled", "approval", "role", "missing"]
    search_fields = ["name", "description", "folder"]

    def get_fields(self, request: HttpRequest, obj: Tool | None = None) -> list[str]:
        return list(ToolDecisionForm(instance=obj).fields)  # only fetching tools choose hosts

    def has_add_permission(self, *_args: Any, **_kwargs: Any) -> bool:
        return False

    def has_delete_permission(self, *_args: Any, **_kwargs: Any) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Tool, form: Any, change: bool) -> None:
        tool_change(tool=obj, actor=admin_actor(request), changes=form.changes())


@admin.register(ImageBuild)
class ImageBuildAdmin(ReadOnlyAdmin):
    list_display = ["node_name", "state", "step", "steps", "digest", "requested_by", "created_at", "ended_at"]
    list_filter = ["state", "node_name"]
    search_fields = ["node_name", "digest", "reason"]


@admin.register(ManagedService)
class ManagedServiceAdmin(ReadOnlyAdmin):
    list_display = ["name", "node", "run", "state", "health", "image", "requested_by", "changed_at"]
    list_filter = ["name", "run", "state", "health"]
    search_fields = ["name", "node__name", "image", "message"]


@admin.register(SelfTest)
class SelfTestAdmin(ReadOnlyAdmin):
    list_display = ["node_name", "state", "leaked", "requested_by", "created_at", "ended_at"]
    list_filter = ["state", "node_name"]
    search_fields = ["node_name", "reason"]
    actions_list = ["attack"]

    @action(description="Attack the sandbox", url_path="attack")
    def attack(self, _request: HttpRequest) -> HttpResponseRedirect:
        """To the page with the button and the table."""
        return HttpResponseRedirect(reverse("tool_selftest"))
