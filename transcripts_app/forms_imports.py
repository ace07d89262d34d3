"""Forms of the import page."""

from __future__ import annotations

from typing import Any

from django import forms

from sparkweb.accounts.models import User
from transcripts_app.sources import PATH_MOST


class SourceForm(forms.Form):
    """A folder to read, and whose it is."""

    path = forms.CharField(
        max_length=PATH_MOST,
        label="Folder on this machine",
        widget=forms.TextInput(
            attrs={
                "class": "form-control",
                "placeholder": "/home/ada/.claude/projects",
                "autocomplete": "off",
                "spellcheck": "false",
            }
        ),
    )
    owner = forms.ModelChoiceField(
        User.objects.none(),
        required=False,
        empty_label="Me",
        to_field_name="username",
        label="Whose it is",
        widget=forms.Select(attrs={"class": "form-select"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].queryset = User.objects.filter(is_active=True).order_by("username")  # type: ignore[attr-defined]
