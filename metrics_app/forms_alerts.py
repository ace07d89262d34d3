"""Forms of alert rules, silences and channels."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from metrics_app.alerts.events import EVENTS
from metrics_app.alerts.notices import kind_of
from metrics_app.alerts.services import rule_check
from metrics_app.history.figures import METRICS, SCOPES
from metrics_app.models import Node
from metrics_app.models_alerts import AlertChannel, AlertRule, Silence

TEXT = {"class": "form-control"}
CHOICE = {"class": "form-select"}
TICK = {"class": "form-check-input"}
DURATIONS = (
    (3_600, "1 hour"),
    (8 * 3_600, "8 hours"),
    (86_400, "1 day"),
    (7 * 86_400, "1 week"),
    (30 * 86_400, "30 days"),
)


def metric_choices() -> list[tuple[str, list[tuple[str, str]]]]:
    """Metrics by scope, then events."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, metric in METRICS.items():
        unit = f", {metric.unit}" if metric.unit else ""
        groups.setdefault(SCOPES[metric.scope], []).append((name, f"{metric.label}{unit}"))
    return [*groups.items(), ("Events", [(name, event.label) for name, event in EVENTS.items()])]


def node_choices() -> list[tuple[str, str]]:
    return [("", "every node"), *((node.name, str(node)) for node in Node.objects.all())]


class AlertRuleForm(forms.ModelForm):
    """One rule; what its kind does not use is left empty."""

    metric = forms.ChoiceField(label="Of", choices=metric_choices, widget=forms.Select(CHOICE))
    node_name = forms.ChoiceField(
        label="Node", choices=node_choices, required=False, widget=forms.Select(CHOICE)
    )

    class Meta:
        model = AlertRule
        fields = [
            "name", "kind", "metric", "subject", "node_name", "value", "clear_value", "for_seconds",
            "hold_seconds", "window_seconds", "severity", "enabled",
        ]  # fmt: skip
        labels = {
            "kind": "Fires when it is",
            "subject": "Only of",
            "value": "Value",
            "clear_value": "Over at",
            "for_seconds": "For so many seconds",
            "hold_seconds": "Over after so many seconds",
            "window_seconds": "Window in seconds",
        }
        help_texts = {
            "subject": "A GPU's number, a mount point, a model; * stands for any part. Empty: all.",
            "clear_value": "Empty: the same value. Another one keeps a figure that swings from firing again.",
            "window_seconds": "For “rising faster than”: the growth is taken over so long.",
            "node_name": "",
        }
        widgets = {
            "name": forms.TextInput(TEXT),
            "kind": forms.Select(CHOICE),
            "subject": forms.TextInput(TEXT | {"class": "form-control mono"}),
            "value": forms.NumberInput(TEXT | {"step": "any"}),
            "clear_value": forms.NumberInput(TEXT | {"step": "any"}),
            "for_seconds": forms.NumberInput(TEXT),
            "hold_seconds": forms.NumberInput(TEXT),
            "window_seconds": forms.NumberInput(TEXT),
            "severity": forms.Select(CHOICE),
            "enabled": forms.CheckboxInput(TICK),
        }

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            try:
                rule_check(self.instance)
            except ValidationError as error:
                self.add_error(None, error)


class SilenceForm(forms.ModelForm):
    """Nobody is told for a while."""

    node_name = forms.ChoiceField(
        label="Node", choices=node_choices, required=False, widget=forms.Select(CHOICE)
    )
    seconds = forms.TypedChoiceField(
        label="For", choices=DURATIONS, coerce=int, initial=3_600, widget=forms.Select(CHOICE)
    )

    class Meta:
        model = Silence
        fields = ["rule", "node_name", "seconds", "reason"]
        widgets = {"rule": forms.Select(CHOICE), "reason": forms.TextInput(TEXT)}
        help_texts = {"node_name": ""}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["rule"].empty_label = "every rule"  # type: ignore[attr-defined]

    def ends_at(self) -> Any:
        """When it is over."""
        return timezone.now() + timedelta(seconds=self.cleaned_data["seconds"])


class AlertChannelForm(forms.ModelForm):
    """Where owners are told. The address is never shown again."""

    url = forms.CharField(
        label="Apprise address",
        max_length=2_000,
        widget=forms.PasswordInput(TEXT | {"autocomplete": "off", "placeholder": "ntfy://host/topic"}),
        help_text="ntfy, Discord, Telegram, Slack, Matrix, Signal, mailto and many more; kept sealed.",
    )

    class Meta:
        model = AlertChannel
        fields = ["name", "url", "least_severity", "enabled"]
        labels = {"least_severity": "Told from"}
        widgets = {
            "name": forms.TextInput(TEXT),
            "least_severity": forms.Select(CHOICE),
            "enabled": forms.CheckboxInput(TICK),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["url"].required = False
            self.fields["url"].help_text = "Empty: the address stays as it is."

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        if url:
            kind_of(url)
        return url
