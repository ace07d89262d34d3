"""One form field for one setting of an engine; empty means that it is left to the defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django import forms

from models_app.engines.container import EngineKind
from models_app.engines.settings_schema import Setting

YES_NO = [("true", "yes"), ("false", "no")]
CONTROL = {"class": "form-control"}
SELECT = {"class": "form-select"}
CODE = {**CONTROL, "rows": 3, "spellcheck": "false"}


class LinesField(forms.CharField):
    """A list of texts, one on each line."""

    def to_python(self, value: Any) -> Any:
        lines = (super().to_python(value) or "").splitlines()
        return [line for line in lines if line] or None


class PairsField(forms.CharField):
    """A mapping of names to texts, `NAME=value` on each line."""

    def to_python(self, value: Any) -> Any:
        lines = [line for line in (super().to_python(value) or "").splitlines() if line.strip()]
        for line in lines:
            if "=" not in line:
                raise forms.ValidationError(f"Expected NAME=value on each line, found {line[:60]!r}.")
        return dict(line.split("=", 1) for line in lines) or None


class DurationField(forms.CharField):
    """Seconds as a number, or a time such as 5m."""

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return int(text) if text and re.fullmatch(r"-?\d{1,9}", text) else text


def form_names(kind: EngineKind) -> tuple[str, ...]:
    """The settings of an engine that have a field of their own; JSON is written as JSON."""
    return kind.common or tuple(name for name, setting in kind.settings.items() if setting.kind != "json")


def setting_field(setting: Setting, default: Any) -> forms.Field:
    """Return the field for one setting; `default` is what holds when it is left empty, None if unknown."""
    base: dict[str, Any] = {"label": setting.name, "help_text": setting.help, "required": False}
    left = f"default: {_shown(default)}" if default is not None else "engine's default"
    if setting.kind == "boolean" or setting.choices:
        choices = YES_NO if setting.kind == "boolean" else [(word, word) for word in setting.choices]
        return forms.ChoiceField(choices=[("", left), *choices], widget=forms.Select(SELECT), **base)
    if setting.kind in ("integer", "number"):
        step = 1 if setting.kind == "integer" else "any"
        widget = forms.NumberInput({**CONTROL, "placeholder": left, "step": step})
        field = forms.IntegerField if setting.kind == "integer" else forms.FloatField
        return field(min_value=setting.low, max_value=setting.high, widget=widget, **base)  # type: ignore[arg-type]
    if setting.kind == "vector":
        return LinesField(widget=forms.Textarea({**CODE, "placeholder": "one argument on each line"}), **base)
    if setting.kind == "environment":
        return PairsField(widget=forms.Textarea({**CODE, "placeholder": "NAME=value"}), **base)
    kind = DurationField if setting.kind == "duration" else forms.CharField
    return kind(widget=forms.TextInput({**CONTROL, "placeholder": left}), **base)


def fits_field(setting: Setting, value: Any) -> bool:
    """Say whether a stored value can be shown in its typed field without changing it."""
    if setting.kind == "boolean":
        return isinstance(value, bool)
    if setting.kind in ("integer", "number"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if setting.kind in ("vector", "environment", "duration"):
        return _comes_back(setting, value)
    return isinstance(value, str) and (not setting.choices or value in setting.choices)


def _comes_back(setting: Setting, value: Any) -> bool:
    try:
        read = setting_field(setting, None).to_python(field_text(value))
    except (forms.ValidationError, TypeError):
        return False
    return bool(read == value and type(read) is type(value))


def field_text(value: Any) -> Any:
    """What a fitting value looks like in its field."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "\n".join(f"{name}={content}" for name, content in value.items())
    return "\n".join(value) if isinstance(value, list) else value


def field_value(setting: Setting, value: Any) -> Any:
    """The setting that a filled field stands for."""
    return value == "true" if setting.kind == "boolean" else value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
