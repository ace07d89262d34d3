"""What may be asked of an export; page and API read the same."""

from __future__ import annotations

from typing import Any

from django import forms

from transcripts_app.export.selection import Format, What
from transcripts_app.redaction.profiles import NONE, profile_of


class ExportForm(forms.Form):
    """`project`, `session` and `query` count where `what` says so; profile `none` masks nothing."""

    what = forms.ChoiceField(choices=What.choices)
    project = forms.CharField(max_length=16, required=False)
    session = forms.CharField(max_length=16, required=False)
    query = forms.CharField(max_length=500, required=False)
    format = forms.ChoiceField(choices=Format.choices)
    profile = forms.CharField(max_length=40)

    def clean_profile(self) -> Any:
        """Return the profile; None for none."""
        name = self.cleaned_data["profile"]
        found = profile_of(name)
        if found is None and name != NONE:
            raise forms.ValidationError(f"There is no profile {name!r}.")
        return found

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        field = values.get("what", "")
        name = "query" if field == What.SEARCH else field
        if field in (What.PROJECT, What.SESSION, What.SEARCH) and not values.get(name):
            self.add_error(name, "Say which.")
        return values

    def wanted(self) -> dict[str, Any]:
        """As `export_request` takes it."""
        values = self.cleaned_data
        key = {What.PROJECT: values["project"], What.SESSION: values["session"]}.get(values["what"], "")
        query = values["query"] if values["what"] == What.SEARCH else ""
        return {"what": values["what"], "key": key, "query": query, "format": values["format"],
                "profile": values["profile"]}  # fmt: skip
