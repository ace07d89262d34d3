"""The page's form for calling a tool: one field for each parameter, made from its schema.

It only turns fields into JSON values; whether they are right says arguments_check, as for every caller.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from django import forms

from sandbox_app.models import SessionState, Tool, ToolSession
from sandbox_app.services import KEY_MOST
from sparkweb.accounts.models import User

CONTROL = {"class": "form-control"}
SELECT = {"class": "form-select"}
CODE = {**CONTROL, "spellcheck": "false"}
LINE_MOST = 4000  # texts that may be longer get several lines
PREFIX = "arg_"


class JsonField(forms.CharField):
    """A list or an object, written as JSON."""

    def to_python(self, value: Any) -> Any:
        text = (super().to_python(value) or "").strip()
        if not text:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"Expected JSON: {str(error)[:200]}.") from None


class TryForm(forms.Form):
    """Arguments, and for whom it may concern a session of theirs."""

    key = forms.CharField(required=False, max_length=KEY_MOST, widget=forms.HiddenInput)
    session = forms.ModelChoiceField(
        queryset=ToolSession.objects.none(),
        required=False,
        to_field_name="uid",
        empty_label="none: everything is gone afterwards",
        label="Session",
        widget=forms.Select(SELECT),
    )

    def __init__(
        self, tool: Tool, user: User, data: Any = None, example: dict[str, Any] | None = None
    ) -> None:
        super().__init__(data)
        self.tool = tool
        parameters = {each["name"]: each for each in tool.definition.get("parameters") or []}
        self.initial = {
            PREFIX + name: _shown(parameters[name], value) for name, value in (example or {}).items()
        }
        self.initial["key"] = secrets.token_hex(16)  # pressing twice is one run
        for parameter in tool.definition.get("parameters") or []:
            self.fields[PREFIX + parameter["name"]] = _field(parameter)
        live = ToolSession.objects.filter(owner=user, state=SessionState.LIVE)
        if live.exists():
            self.fields["session"].queryset = live  # type: ignore[attr-defined]
        else:
            del self.fields["session"]

    @property
    def argument_fields(self) -> list[forms.BoundField]:
        """The fields of the tool's own parameters, in their order."""
        return [self[name] for name in self.fields if name.startswith(PREFIX)]

    def arguments(self) -> dict[str, Any]:
        """What was filled in, as JSON values; what was left empty is left out."""
        given: dict[str, Any] = {}
        for parameter in self.tool.definition.get("parameters") or []:
            value = self.cleaned_data[PREFIX + parameter["name"]]
            if value not in (None, ""):
                given[parameter["name"]] = _value(parameter, value)
        return given


def _field(parameter: dict[str, Any]) -> forms.Field:
    base: dict[str, Any] = {
        "label": parameter["name"],
        "help_text": parameter.get("description", ""),
        "required": bool(parameter.get("required")),
    }
    kind, default = parameter["type"], parameter.get("default")
    shown = "" if default is None else default if isinstance(default, str) else json.dumps(default)
    if kind == "boolean" or parameter.get("enum"):
        values = parameter.get("enum") or [True, False]
        left = [("", f"default: {shown}" if shown else "")] if not base["required"] else []
        choices = [
            (json.dumps(value), value if isinstance(value, str) else json.dumps(value)) for value in values
        ]
        return forms.ChoiceField(choices=[*left, *choices], widget=forms.Select(SELECT), **base)
    hint = {"placeholder": shown}
    if kind == "integer":
        return forms.IntegerField(widget=forms.NumberInput({**CONTROL, **hint}), **base)
    if kind == "number":
        return forms.FloatField(widget=forms.NumberInput({**CONTROL, **hint, "step": "any"}), **base)
    if kind in ("array", "object"):
        hint = {"placeholder": "[…]" if kind == "array" else "{…}"}
        return JsonField(widget=forms.Textarea({**CODE, **hint, "rows": 2}), **base)
    if parameter.get("max") and parameter["max"] <= LINE_MOST:
        return forms.CharField(strip=False, widget=forms.TextInput({**CODE, **hint}), **base)
    rows = 7 if base["required"] else 2
    return forms.CharField(strip=False, widget=forms.Textarea({**CODE, **hint, "rows": rows}), **base)


def _shown(parameter: dict[str, Any], value: Any) -> Any:
    """A value as its field has it."""
    as_json = parameter["type"] in ("boolean", "array", "object") or parameter.get("enum")
    return json.dumps(value, ensure_ascii=False) if as_json else value


def _value(parameter: dict[str, Any], value: Any) -> Any:
    if parameter["type"] == "boolean" or parameter.get("enum"):
        return json.loads(value)
    # Browsers end the lines of a text area with CR LF.
    return value.replace("\r\n", "\n") if isinstance(value, str) else value
