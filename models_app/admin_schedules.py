"""Schedules in the admin panel, and what came of them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from models_app.forms_schedules import ScheduleForm
from models_app.models_schedules import NodeBoot, Schedule, Turn
from models_app.schedules import schedule_delete, schedule_save
from sparkweb.admin_base import ReadOnlyAdmin, ServiceAdmin, admin_actor


@admin.register(Schedule)
class ScheduleAdmin(ServiceAdmin):
    form = ScheduleForm
    list_display = ["name", "node", "when", "mode", "enabled"]
    list_filter = ["node", "mode", "enabled"]
    search_fields = ["name", "definitions__slug"]
    list_select_related = ["node"]

    def save_model(self, request: HttpRequest, obj: Schedule, form: Any, change: bool) -> None:
        schedule_save(schedule=obj, actor=admin_actor(request), definitions=form.chosen())

    def delete_model(self, request: HttpRequest, obj: Schedule) -> None:
        schedule_delete(schedule=obj, actor=admin_actor(request))


@admin.register(Turn)
class TurnAdmin(ReadOnlyAdmin):
    list_display = ["began_at", "node", "cause", "title", "ended_at"]
    list_filter = ["cause", "node"]
    search_fields = ["title", "node__name"]
    date_hierarchy = "began_at"
    list_select_related = ["node"]


@admin.register(NodeBoot)
class NodeBootAdmin(ReadOnlyAdmin):
    list_display = ["node", "host_boot", "seen_at"]
    list_filter = ["node"]
    search_fields = ["node__name", "host_boot"]
    list_select_related = ["node"]
