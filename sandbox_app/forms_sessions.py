"""The form of a new session."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from metrics_app.models import Node
from sandbox_app.forms_tools import CONTROL, SELECT
from sandbox_app.sessions import HOURS_MOST, SIZE_LEAST_MB


class SessionForm(forms.Form):
    """Name, node, size and time; the settings say what is usual."""

    label = forms.CharField(
        label="Name",
        required=False,
        max_length=120,
        widget=forms.TextInput({**CONTROL, "placeholder": "Plots"}),
    )
    node = forms.ModelChoiceField(
        label="Node", queryset=Node.objects.all(), empty_label=None, widget=forms.Select(SELECT)
    )
    size_mb = forms.IntegerField(
        label="Workspace (MiB)", min_value=SIZE_LEAST_MB, widget=forms.NumberInput(CONTROL)
    )
    hours = forms.IntegerField(
        label="Lasts (hours)", min_value=1, max_value=HOURS_MOST, widget=forms.NumberInput(CONTROL)
    )

    def __init__(self, *arguments: Any, **named: Any) -> None:
        usual = {"size_mb": settings.SANDBOX_SESSION_MB, "hours": settings.SANDBOX_SESSION_HOURS}
        named["initial"] = {**usual, **(named.get("initial") or {})}
        super().__init__(*arguments, **named)
