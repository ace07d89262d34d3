"""Forms about definitions and launches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from django import forms
from django.core.validators import RegexValidator

from metrics_app.models import Node
from models_app.engines.registry import ENGINES, NODES_MOST, engine_kind
from models_app.engines.settings_schema import settings_problems
from models_app.models import Engine, Launch, LaunchState, ModelDefinition
from models_app.planning import engine_defaults
from models_app.setting_fields import (
    CONTROL,
    SELECT,
    field_text,
    field_value,
    fits_field,
    form_names,
    setting_field,
)
from sparkweb.accounts.models import User

RESERVED_SLUGS = {"new", "import", "export", "changes"}
CHECKBOX = {"class": "form-check-input me-1"}
NO_NUL = RegexValidator("\x00", "must not contain the character NUL", inverse_match=True)


class DefinitionForm(forms.ModelForm):
    """A definition: its own fields, the engine's settings by type, every other setting as JSON.

    `settings_for` names the engine whose settings have fields; when another one was
    chosen since, they are still read, and checked against the chosen one. Empty
    settings are left out. On an existing definition the slug stays.
    """

    settings_for = forms.ChoiceField(
        choices=[(name, name) for name in ENGINES], required=False, widget=forms.HiddenInput
    )

    other_settings = forms.CharField(
        label="Other settings",
        required=False,
        help_text="A JSON object. What the engine does not know is kept, and noted beside the command.",
        widget=forms.Textarea({**CONTROL, "rows": 4, "spellcheck": "false", "placeholder": '{"seed": 7}'}),
    )

    class Meta:
        model = ModelDefinition
        fields = [
            "name",
            "slug",
            "engine",
            "model_id",
            "image",
            "port",
            "estimated_memory_gb",
            "publish",
            "node_count",
            "container_name",
            "script_dir",
            "description",
            "priority",
            "idle_minutes",
            "enabled",
            "pinned",
            "start_on_boot",
        ]
        labels = {
            "slug": "Served as",
            "model_id": "Model",
            "estimated_memory_gb": "Estimated memory (GiB)",
            "publish": "Reachable from",
            "node_count": "Nodes",
            "pinned": "Pinned",
            "idle_minutes": "Unload when idle (minutes)",
            "start_on_boot": "Start on boot",
        }
        help_texts = {
            "estimated_memory_gb": "A start is refused while the node has less; no check if empty.",
            "priority": "When memory runs out, lower ones go first; 0 if empty.",
            "node_count": "1 if empty. vLLM can lay a model over several nodes.",
            "idle_minutes": "Without a request so long; never if empty, or if the engine counts none.",
            "publish": "The LAN without a key means everyone in it.",
            "container_name": "Only kept for the old file; SparkWeb names its containers itself.",
            "script_dir": "For the engine script: its folder below the node's SPARKWEB_SCRIPTS_DIR.",
        }
        widgets = {
            **{name: forms.TextInput(CONTROL) for name in ("name", "container_name", "script_dir")},
            "slug": forms.TextInput({**CONTROL, "placeholder": "qwen3-coder-30b-awq", "spellcheck": "false"}),
            "model_id": forms.TextInput({**CONTROL, "placeholder": "org/model", "spellcheck": "false"}),
            "image": forms.TextInput(
                {**CONTROL, "placeholder": "vllm/vllm-openai:v0.11.0", "spellcheck": "false"}
            ),
            "engine": forms.Select(SELECT),
            "publish": forms.Select(SELECT),
            "port": forms.NumberInput({**CONTROL, "placeholder": "8104"}),
            "node_count": forms.NumberInput({**CONTROL, "placeholder": "1", "min": 1, "max": NODES_MOST}),
            "estimated_memory_gb": forms.NumberInput({**CONTROL, "step": "any", "min": 0}),
            "description": forms.TextInput(CONTROL),
            "priority": forms.NumberInput({**CONTROL, "placeholder": "0"}),
            "enabled": forms.CheckboxInput(CHECKBOX),
            "pinned": forms.CheckboxInput(CHECKBOX),
            "idle_minutes": forms.NumberInput({**CONTROL, "placeholder": "never"}),
            "start_on_boot": forms.CheckboxInput(CHECKBOX),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = engine_kind(self._engine_of_fields())
        self.initial["settings_for"] = self.kind.name
        defaults = engine_defaults(self.kind.name)
        self.has_defaults = bool(defaults)
        own: dict[str, Any] = dict(self.instance.settings or {})
        for name in form_names(self.kind):
            setting = self.kind.settings[name]
            self.fields[f"set_{name}"] = setting_field(setting, {**self.kind.built_in, **defaults}.get(name))
            if name in own and fits_field(setting, own[name]):
                self.initial[f"set_{name}"] = field_text(own.pop(name))
        self.initial["other_settings"] = _json_text(own) if own else ""
        if self.instance.pk:
            self.fields["slug"].disabled = True
        self.fields["priority"].required = False
        self.fields["node_count"].required = False
        if self.instance.estimated_memory_gb is not None:
            self.initial["estimated_memory_gb"] = f"{float(self.instance.estimated_memory_gb):g}"

    def _engine_of_fields(self) -> str:
        posted = self.data.get("settings_for") or self.data.get("engine") or ""
        return posted if posted in ENGINES else self.instance.engine or Engine.VLLM

    @property
    def engine_changed(self) -> bool:
        """Whether the fields are another engine's than the one chosen."""
        return self.instance.engine != self.kind.name

    @property
    def main_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.Meta.fields]

    @property
    def setting_fields(self) -> list[forms.BoundField]:
        return [self[f"set_{name}"] for name in form_names(self.kind)]

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if slug in RESERVED_SLUGS and not self.instance.pk:
            raise forms.ValidationError(f"{slug!r} is the address of a page here; choose another name.")
        return slug

    def clean_port(self) -> int:
        port: int = self.cleaned_data["port"]
        holder = ModelDefinition.objects.filter(port=port).exclude(pk=self.instance.pk).first()
        if holder:
            raise forms.ValidationError(f"Port {port} is {holder.name}'s; choose another.")
        return port

    def clean_node_count(self) -> int:
        return self.cleaned_data["node_count"] or 1

    def clean_priority(self) -> int:
        return self.cleaned_data["priority"] or 0

    def clean_other_settings(self) -> dict[str, Any]:
        text: str = self.cleaned_data["other_settings"].strip()
        try:
            value = orjson.loads(text) if text else {}
        except orjson.JSONDecodeError as error:
            raise forms.ValidationError(f"Not JSON: {error}") from None
        if not isinstance(value, dict):
            raise forms.ValidationError('Expected an object, like {"seed": 7}.')
        return value

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        settings = dict(data.get("other_settings") or {})
        for name in form_names(self.kind):
            value = data.get(f"set_{name}")
            if value in (None, ""):
                continue
            if name in settings:
                self.add_error("other_settings", f"{name} stands in both; take it out here.")
            settings[name] = field_value(self.kind.settings[name], value)
        for name, problem in settings_problems(engine_kind(data.get("engine", "")).settings, settings):
            field = f"set_{name}" if f"set_{name}" in self.fields else "other_settings"
            self.add_error(field, f"{name}: {problem}")
        self.instance.settings = self._in_old_order(settings)
        return data

    def _in_old_order(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the order of the file that the settings came from; new ones follow."""
        before = [name for name in (self.instance.settings or {}) if name in settings]
        return {
            name: settings[name] for name in (*before, *(name for name in settings if name not in before))
        }


def _json_text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


class LaunchFilterForm(forms.Form):
    """Filters of the launch history; a wrong one is named and left out."""

    state = forms.ChoiceField(required=False)
    definition = forms.ChoiceField(required=False)
    node = forms.ChoiceField(required=False)
    person = forms.ChoiceField(required=False)
    since = forms.DateField(required=False)
    until = forms.DateField(required=False)
    text = forms.CharField(required=False, max_length=200, validators=[NO_NUL])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        slugs = (
            Launch.objects.order_by("definition_slug").values_list("definition_slug", flat=True).distinct()
        )
        names = Launch.objects.order_by("node_name").values_list("node_name", flat=True).distinct()
        people = User.objects.order_by("username").values_list("username", flat=True)
        known = {name: name for name in Node.objects.values_list("name", flat=True)} | {
            name: name for name in names
        }
        self._choose("state", "Every state", [("live", "Live"), *LaunchState.choices])
        self._choose("definition", "Every model", [(slug, slug) for slug in slugs])
        self._choose("node", "Every node", list(known.items()))
        self._choose("person", "Everyone", [(name, name) for name in people])
        for name, label in (("since", "Since"), ("until", "Until")):
            self.fields[name].widget = forms.DateInput(
                {**CONTROL, "type": "date", "aria-label": label, "title": label}, format="%Y-%m-%d"
            )

    def _choose(self, name: str, everything: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.widget = forms.Select({**SELECT, "aria-label": everything})
        field.choices = [("", everything), *choices]

    @property
    def selects(self) -> list[forms.BoundField]:
        return [self[name] for name in ("state", "definition", "node", "person")]

    def filters(self) -> dict[str, Any]:
        """Return what `launches_filtered` takes, without what is empty or wrong."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}
