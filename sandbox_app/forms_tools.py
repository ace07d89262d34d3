"""The form of what an owner decides about a tool."""

from __future__ import annotations

from typing import Any

from django import forms

from sandbox_app.models import Tool
from sandbox_app.tool_changes import decision_problems
from sandbox_app.tool_limits import LIMITS, size_read, size_text
from sandbox_app.toolfile import HOST, ROLES, policy_of

CONTROL = {"class": "form-control"}
SELECT = {"class": "form-select"}
TICK = {"class": "form-check-input"}
# What the service calls otherwise than the form, whose row has columns of these names.
FIELDS = {
    "enabled": "is_enabled",
    "approval": "needs_approval",
    "role": "least_role",
    "memory_bytes": "memory",
}


class ToolDecisionForm(forms.ModelForm):
    """Switches and limits; an empty limit is the TOOL.md's own."""

    is_enabled = forms.BooleanField(label="Enabled", required=False, widget=forms.CheckboxInput(TICK))
    needs_approval = forms.BooleanField(
        label="Each run waits for approval", required=False, widget=forms.CheckboxInput(TICK)
    )
    least_role = forms.ChoiceField(
        label="Who may run it",
        choices=[(role, f"{role} and above") for role in ROLES],
        widget=forms.Select(SELECT),
    )
    parallel = forms.IntegerField(label="Runs at once", required=False, widget=forms.NumberInput(CONTROL))
    timeout_seconds = forms.IntegerField(
        label="Time (seconds)", required=False, widget=forms.NumberInput(CONTROL)
    )
    memory = forms.CharField(label="Memory", required=False, max_length=20, widget=forms.TextInput(CONTROL))
    cpu_percent = forms.IntegerField(
        label="CPU (% of one core)", required=False, widget=forms.NumberInput(CONTROL)
    )
    egress = forms.CharField(
        label="Hosts it may reach",
        required=False,
        help_text="One on each line: example.com, *.example.com, or * for every public address.",
        widget=forms.Textarea({**CONTROL, "rows": 3, "spellcheck": "false"}),
    )

    class Meta:
        model = Tool
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tool: Tool = self.instance
        said, own = policy_of(tool.definition, {}), tool.overrides
        for name, value in (
            ("parallel", tool.definition.get("parallel", 8)),
            ("timeout_seconds", said.timeout_seconds),
            ("memory", size_text(said.memory_bytes)),
            ("cpu_percent", said.cpu_percent),
            ("egress", "\n".join(said.egress)),
        ):
            self.fields[name].widget.attrs["placeholder"] = str(value)
        self.initial = {
            **self.initial,
            "is_enabled": tool.enabled,
            "needs_approval": tool.approval,
            "least_role": tool.role,
            **{name: own.get(name) for name in ("parallel", "timeout_seconds", "cpu_percent")},
            "memory": size_text(own["memory_bytes"]) if own.get("memory_bytes") else "",
            "egress": "\n".join(own.get("egress") or []),
        }
        if not str(tool.definition.get("runner", "")).startswith(HOST):
            del self.fields["egress"]

    def clean_memory(self) -> int | None:
        text = self.cleaned_data["memory"]
        if not text:
            return None
        number = LIMITS["memory"].read(size_read(text))
        if number is None:
            raise forms.ValidationError(f"Must be {LIMITS['memory'].expected}.")
        return number

    def clean_egress(self) -> list[str] | None:
        return [line.strip() for line in self.cleaned_data["egress"].splitlines() if line.strip()] or None

    def clean(self) -> dict[str, Any]:
        """Hold it against the service's own rules, each problem beside its field."""
        if not self.errors:
            for key, sentences in decision_problems(self.instance, self.changes()).items():
                self.add_error(FIELDS.get(key, key), sentences)
        return self.cleaned_data

    def changes(self) -> dict[str, Any]:
        """What to hand to tool_change: None for what is as the TOOL.md says."""
        said = {"enabled": True, "approval": False, "role": "operator", **self.instance.definition}
        chosen = self.cleaned_data
        switches = {
            "enabled": chosen["is_enabled"],
            "approval": chosen["needs_approval"],
            "role": chosen["least_role"],
        }
        changes: dict[str, Any] = {
            key: None if value == said[key] else value for key, value in switches.items()
        }
        changes |= {key: chosen[key] for key in ("parallel", "timeout_seconds", "cpu_percent")}
        changes["memory_bytes"] = chosen["memory"]
        if "egress" in chosen:
            changes["egress"] = chosen["egress"]
        return changes
