"""Prices in the admin panel: added and deleted through their services, never changed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest

from sparkweb.admin_base import ServiceAdmin, admin_actor
from transcripts_app.forms_figures import PriceForm
from transcripts_app.models_prices import ModelPrice
from transcripts_app.services_prices import price_add, price_delete


@admin.register(ModelPrice)
class ModelPriceAdmin(ServiceAdmin):
    form = PriceForm
    list_display = ["pattern", "valid_from", "input", "output", "cache_read", "cache_write_5m",
                    "cache_write_1h", "web_search", "note"]  # fmt: skip
    list_filter = ["valid_from"]
    search_fields = ["pattern", "note"]

    def has_change_permission(self, *_args: Any, **_kwargs: Any) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ModelPrice, form: ModelForm, change: bool) -> None:
        added = price_add(fields=form.cleaned_data, actor=admin_actor(request))
        obj.pk = added.pk

    def delete_model(self, request: HttpRequest, obj: ModelPrice) -> None:
        price_delete(price=obj, actor=admin_actor(request))
