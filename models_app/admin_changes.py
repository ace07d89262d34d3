"""The history of definitions in the admin panel, as it is."""

from __future__ import annotations

from django.contrib import admin

from models_app.models_changes import DefinitionChange
from sparkweb.admin_base import ReadOnlyAdmin


@admin.register(DefinitionChange)
class DefinitionChangeAdmin(ReadOnlyAdmin):
    list_display = ["definition_slug", "kind", "at", "actor_label", "via"]
    list_filter = ["kind", "via"]
    search_fields = ["definition_slug", "actor_label"]
    date_hierarchy = "at"
