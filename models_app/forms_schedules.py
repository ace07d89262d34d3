"""The form of a schedule."""

from __future__ import annotations

from typing import Any

from django import forms

from models_app.models import ModelDefinition
from models_app.models_schedules import Schedule
from models_app.schedule_clock import DAY_NAMES
from models_app.setting_fields import CONTROL, SELECT


class ScheduleForm(forms.ModelForm):
    """Name, node, window and the set of models."""

    days = forms.TypedMultipleChoiceField(
        label="Days",
        choices=list(enumerate(DAY_NAMES)),
        coerce=int,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one day."},
    )
    definitions = forms.ModelMultipleChoiceField(
        label="Models",
        queryset=ModelDefinition.objects.all(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None ticked and only these: the node rests.",
    )

    class Meta:
        model = Schedule
        fields = [
            "name",
            "node",
            "starts_at",
            "ends_at",
            "mode",
            "drain_minutes",
            "days",
            "definitions",
            "enabled",
        ]
        labels = {
            "starts_at": "From",
            "ends_at": "Until",
            "mode": "What runs",
            "drain_minutes": "Wait for requests (minutes)",
        }
        widgets = {
            "name": forms.TextInput({**CONTROL, "placeholder": "Night"}),
            "node": forms.Select(SELECT),
            "starts_at": forms.TimeInput({**CONTROL, "type": "time"}, format="%H:%M"),
            "ends_at": forms.TimeInput({**CONTROL, "type": "time"}, format="%H:%M"),
            "mode": forms.Select(SELECT),
            "drain_minutes": forms.NumberInput(CONTROL),
            "enabled": forms.CheckboxInput({"class": "form-check-input"}),
        }

    @property
    def plain_fields(self) -> list[forms.BoundField]:
        names = ("name", "node", "starts_at", "ends_at", "mode", "drain_minutes", "enabled")
        return [self[name] for name in names]

    def chosen(self) -> list[Any]:
        """Return the definitions that were ticked."""
        return list(self.cleaned_data["definitions"])
