"""Nodes in the admin panel."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from metrics_app.handover import handover_make
from metrics_app.models import Node
from metrics_app.services import node_create, node_delete, node_update, node_uses
from sparkweb.admin_base import ServiceAdmin, admin_actor

SEEN = [
    "status",
    "status_changed_at",
    "last_seen_at",
    "agent_version",
    "unified_memory",
    "capabilities",
    "created_at",
]


@admin.register(Node)
class NodeAdmin(ServiceAdmin):
    list_display = [
        "name",
        "label",
        "status_shown",
        "role",
        "lan_address",
        "fabric_address",
        "agent_version",
        "last_seen_at",
    ]
    list_filter = ["status", "unified_memory"]
    search_fields = ["name", "label", "role", "lan_address", "fabric_address", "fabric_twin_address"]
    date_hierarchy = "created_at"

    @display(
        description="Status",
        label={"online": "success", "stale": "warning", "offline": "danger", "never": "info"},
    )
    def status_shown(self, node: Node) -> str:
        return node.status

    def get_readonly_fields(self, request: HttpRequest, obj: Node | None = None) -> list[str]:
        return [*SEEN, "name"] if obj else SEEN

    def get_fields(self, request: HttpRequest, obj: Node | None = None) -> list[str]:
        addresses = ["lan_address", "fabric_address", "fabric_twin_address", "fabric_interface"]
        written = ["name", "label", "role", *addresses, "labels"]
        return [*written, *SEEN] if obj else written

    def save_model(self, request: HttpRequest, obj: Node, form: Any, change: bool) -> None:
        if change:
            node_update(node=obj, actor=admin_actor(request))
            return
        node, private_key = node_create(actor=admin_actor(request), **form.cleaned_data)
        obj.pk = node.pk
        request._private_key = private_key  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: Node, post_url_continue: str | None = None
    ) -> HttpResponse:
        handover = handover_make(node=obj.name, private_key=request._private_key)  # type: ignore[attr-defined]
        return self.secret_once(request, obj, f"The node {obj.name}", handover.lines())

    def has_delete_permission(self, request: HttpRequest, obj: Node | None = None) -> bool:
        runs = obj is not None and node_uses(obj)
        return not runs and super().has_delete_permission(request, obj)

    def delete_model(self, request: HttpRequest, obj: Node) -> None:
        node_delete(node=obj, actor=admin_actor(request))


from metrics_app import admin_alerts, admin_fabric  # noqa: E402, F401
