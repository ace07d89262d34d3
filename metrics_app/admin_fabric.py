"""Tests of the fabric in the admin panel."""

from __future__ import annotations

from django.contrib import admin

from metrics_app.models_fabric import FabricTest
from sparkweb.admin_base import ReadOnlyAdmin


@admin.register(FabricTest)
class FabricTestAdmin(ReadOnlyAdmin):
    list_display = ["first_node", "second_node", "state", "tone", "cause", "gbits", "sentence", "created_at"]
    list_filter = ["state", "tone", "cause", "scheduled"]
    search_fields = ["uid", "first_node", "second_node", "sentence", "force_reason"]
    date_hierarchy = "created_at"
