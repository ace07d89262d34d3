"""Webhooks in the admin panel."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from models_app.forms_webhooks import WebhookForm
from models_app.models_webhooks import Webhook
from models_app.webhooks import host_of, webhook_delete, webhook_save, webhook_test
from sparkweb.admin_base import ServiceAdmin, admin_actor


@admin.register(Webhook)
class WebhookAdmin(ServiceAdmin):
    form = WebhookForm
    list_display = ["name", "host", "events", "enabled", "created_at"]
    list_filter = ["enabled", "definitions"]
    search_fields = ["name", "uid"]
    actions = ["test"]

    @admin.display(description="Host")
    def host(self, hook: Webhook) -> str:
        return host_of(hook)

    @admin.action(description="Send a test message")
    def test(self, request: HttpRequest, rows: QuerySet[Webhook]) -> None:
        for hook in rows:
            webhook_test(hook=hook, actor=admin_actor(request))
            messages.success(request, f"A test message to {hook} is in the queue.")

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        webhook_save(hook=obj, actor=admin_actor(request), definitions=form.chosen())

    def delete_model(self, request: HttpRequest, obj: Webhook) -> None:
        webhook_delete(hook=obj, actor=admin_actor(request))
