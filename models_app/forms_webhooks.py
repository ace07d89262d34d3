"""The form of a webhook."""

from __future__ import annotations

from typing import Any

from django import forms

from models_app.models import LaunchState, ModelDefinition
from models_app.models_webhooks import Webhook
from models_app.setting_fields import CONTROL


class WebhookForm(forms.ModelForm):
    """Name, address and filters; what is not ticked at all means everything."""

    events = forms.MultipleChoiceField(
        label="Told when a launch becomes",
        choices=LaunchState.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Every change if none is ticked.",
    )
    definitions = forms.ModelMultipleChoiceField(
        label="Of these models",
        queryset=ModelDefinition.objects.all(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="All models if none is ticked.",
    )

    class Meta:
        model = Webhook
        fields = ["name", "url", "events", "definitions", "enabled"]
        labels = {"url": "Address"}
        widgets = {
            "name": forms.TextInput(CONTROL),
            "url": forms.TextInput(CONTROL | {"inputmode": "url", "placeholder": "https://example.lan/hook"}),
            "enabled": forms.CheckboxInput({"class": "form-check-input"}),
        }

    @property
    def plain_fields(self) -> list[forms.BoundField]:
        return [self["name"], self["url"], self["enabled"]]

    def chosen(self) -> list[Any]:
        """Return the definitions that were ticked."""
        return list(self.cleaned_data["definitions"])
