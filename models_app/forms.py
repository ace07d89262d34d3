"""Forms about definitions and launches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from django import forms
from django.core.validators import RegexValidator

from metrics_app.models import Node
from models_app.engines.settings_schema import Setting, settings_problems
from models_app.engines.vllm_settings import VLLM_SETTINGS
from models_app.models import Engine, Launch, LaunchState, ModelDefinition
from models_app.planning import engine_defaults
from sparkweb.accounts.models import User

COMMON_SETTINGS = (
    "max_model_len",
    "max_num_seqs",
    "gpu_memory_utilization",
    "kv_cache_dtype",
    "dtype",
    "quantization",
    "tensor_parallel_size",
    "enforce_eager",
    "enable_prefix_caching",
    "enable_chunked_prefill",
    "trust_remote_code",
    "enable_auto_tool_choice",
    "tool_call_parser",
    "reasoning_parser",
    "restart_policy",
    "gpus",
    "ipc",
    "shm_size",
)
RESERVED_SLUGS = {"new", "import", "export"}
YES_NO = [("true", "yes"), ("false", "no")]
CONTROL = {"class": "form-control"}
SELECT = {"class": "form-select"}
CHECKBOX = {"class": "form-check-input me-1"}
NO_NUL = RegexValidator("\x00", "must not contain the character NUL", inverse_match=True)


def setting_field(setting: Setting, default: Any) -> forms.Field:
    """Return the field for one setting; empty means that it is left to the defaults."""
    base: dict[str, Any] = {"label": setting.name, "help_text": setting.help, "required": False}
    left = f"default: {_shown(default)}" if default is not None else "engine's default"
    if setting.kind == "boolean" or setting.choices:
        choices = YES_NO if setting.kind == "boolean" else [(word, word) for word in setting.choices]
        return forms.ChoiceField(choices=[("", left), *choices], widget=forms.Select(SELECT), **base)
    if setting.kind in ("integer", "number"):
        step = 1 if setting.kind == "integer" else "any"
        widget = forms.NumberInput({**CONTROL, "placeholder": left, "step": step})
        kind = forms.IntegerField if setting.kind == "integer" else forms.FloatField
        return kind(min_value=setting.low, max_value=setting.high, widget=widget, **base)  # type: ignore[arg-type]
    return forms.CharField(widget=forms.TextInput({**CONTROL, "placeholder": left}), **base)


def _shown(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


class DefinitionForm(forms.ModelForm):
    """A definition: its own fields, vLLM's common settings by type, every other setting as JSON.

    Empty settings are left out. On an existing definition the slug stays.
    """

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
            "container_name",
            "script_dir",
            "description",
            "enabled",
        ]
        labels = {
            "slug": "Served as",
            "model_id": "Model",
            "estimated_memory_gb": "Estimated memory (GB)",
            "publish": "Reachable from",
        }
        help_texts = {
            "estimated_memory_gb": "A start is refused while the node has less; no check if empty.",
            "publish": "The LAN without a key means everyone in it.",
            "container_name": "Only kept for the old file; SparkWeb names its containers itself.",
            "script_dir": "For the engine script.",
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
            "estimated_memory_gb": forms.NumberInput({**CONTROL, "step": "any", "min": 0}),
            "description": forms.TextInput(CONTROL),
            "enabled": forms.CheckboxInput(CHECKBOX),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        defaults = engine_defaults(self.instance.engine or Engine.VLLM)
        self.has_defaults = bool(defaults)
        own: dict[str, Any] = dict(self.instance.settings or {})
        for name in COMMON_SETTINGS:
            self.fields[f"set_{name}"] = setting_field(VLLM_SETTINGS[name], defaults.get(name))
            if name in own and _fits_field(VLLM_SETTINGS[name], own[name]):
                value = own.pop(name)
                self.initial[f"set_{name}"] = str(value).lower() if isinstance(value, bool) else value
        self.initial["other_settings"] = _json_text(own) if own else ""
        if self.instance.pk:
            self.fields["slug"].disabled = True
        if self.instance.estimated_memory_gb is not None:
            self.initial["estimated_memory_gb"] = f"{float(self.instance.estimated_memory_gb):g}"

    @property
    def main_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.Meta.fields]

    @property
    def setting_fields(self) -> list[forms.BoundField]:
        return [self[f"set_{name}"] for name in COMMON_SETTINGS]

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
        for name in COMMON_SETTINGS:
            value = data.get(f"set_{name}")
            if value in (None, ""):
                continue
            if name in settings:
                self.add_error("other_settings", f"{name} stands in both; take it out here.")
            settings[name] = value == "true" if VLLM_SETTINGS[name].kind == "boolean" else value
        if data.get("engine") == Engine.VLLM:
            for name, problem in settings_problems(VLLM_SETTINGS, settings):
                self.add_error(
                    f"set_{name}" if name in COMMON_SETTINGS else "other_settings", f"{name}: {problem}"
                )
        self.instance.settings = self._in_old_order(settings)
        return data

    def _in_old_order(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the order of the file that the settings came from; new ones follow."""
        before = [name for name in (self.instance.settings or {}) if name in settings]
        return {
            name: settings[name] for name in (*before, *(name for name in settings if name not in before))
        }


def _fits_field(setting: Setting, value: Any) -> bool:
    """Say whether a stored value can be shown in its typed field without changing it."""
    if setting.kind == "boolean":
        return isinstance(value, bool)
    if setting.kind in ("integer", "number"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str) and (not setting.choices or value in setting.choices)


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
