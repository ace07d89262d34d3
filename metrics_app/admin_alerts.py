"""Alerts in the admin panel."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from metrics_app.alerts.notices import channel_delete, channel_save, channel_test
from metrics_app.alerts.services import alert_acknowledge, rule_delete, rule_save, silence_end
from metrics_app.forms_alerts import AlertChannelForm, AlertRuleForm
from metrics_app.models import FlightRecord, NodeEvent
from metrics_app.models_alerts import Alert, AlertChannel, AlertRule, Silence
from metrics_app.models_energy import EnergyDay
from sparkweb.admin_base import ReadOnlyAdmin, ServiceAdmin, admin_actor


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ["rule_name", "severity", "node_name", "message", "state", "fired_at", "resolved_at"]
    list_filter = ["state", "severity", "node_name"]
    search_fields = ["rule_name", "node_name", "series", "message"]
    date_hierarchy = "fired_at"
    actions = ["acknowledge"]

    @admin.action(description="Acknowledge")
    def acknowledge(self, request: HttpRequest, rows: QuerySet[Alert]) -> None:
        for alert in rows:
            alert_acknowledge(alert=alert, actor=admin_actor(request))


@admin.register(AlertRule)
class AlertRuleAdmin(ServiceAdmin):
    form = AlertRuleForm
    list_display = ["name", "kind", "metric", "subject", "node_name", "value", "severity", "enabled"]
    list_filter = ["kind", "severity", "enabled"]
    search_fields = ["name", "metric", "subject", "node_name"]

    def save_model(self, request: HttpRequest, obj: AlertRule, form: Any, change: bool) -> None:
        rule_save(rule=obj, actor=admin_actor(request))

    def delete_model(self, request: HttpRequest, obj: AlertRule) -> None:
        rule_delete(rule=obj, actor=admin_actor(request))


@admin.register(Silence)
class SilenceAdmin(ReadOnlyAdmin):
    list_display = ["rule", "node_name", "reason", "starts_at", "ends_at", "created_by"]
    list_filter = ["node_name"]
    search_fields = ["node_name", "reason"]
    actions = ["end"]

    @admin.action(description="End now")
    def end(self, request: HttpRequest, rows: QuerySet[Silence]) -> None:
        for silence in rows:
            silence_end(silence=silence, actor=admin_actor(request))


@admin.register(AlertChannel)
class AlertChannelAdmin(ServiceAdmin):
    form = AlertChannelForm
    list_display = ["name", "kind", "least_severity", "enabled", "created_at"]
    list_filter = ["least_severity", "enabled"]
    search_fields = ["name", "kind"]
    actions = ["test"]

    @admin.action(description="Send a test message")
    def test(self, request: HttpRequest, rows: QuerySet[AlertChannel]) -> None:
        for channel in rows:
            channel_test(channel=channel, actor=admin_actor(request))
            messages.success(request, f"A test message to {channel} is in the queue.")

    def save_model(self, request: HttpRequest, obj: AlertChannel, form: Any, change: bool) -> None:
        channel_save(channel=obj, actor=admin_actor(request), url=form.cleaned_data.get("url", ""))

    def delete_model(self, request: HttpRequest, obj: AlertChannel) -> None:
        channel_delete(channel=obj, actor=admin_actor(request))


@admin.register(NodeEvent)
class NodeEventAdmin(ReadOnlyAdmin):
    list_display = ["node_name", "kind", "message", "at"]
    list_filter = ["kind", "node_name"]
    search_fields = ["node_name", "message"]
    date_hierarchy = "at"


@admin.register(FlightRecord)
class FlightRecordAdmin(ReadOnlyAdmin):
    list_display = ["node_name", "first_at", "last_at", "received_at"]
    list_filter = ["node_name"]
    search_fields = ["node_name", "host_boot"]
    exclude = ["data"]


@admin.register(EnergyDay)
class EnergyDayAdmin(ReadOnlyAdmin):
    list_display = ["day", "node_name", "model", "joules", "prompt_tokens", "generation_tokens", "estimated"]
    list_filter = ["node_name", "estimated"]
    search_fields = ["node_name", "model"]
    date_hierarchy = "day"
