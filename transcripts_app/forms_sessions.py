"""What a filter of sessions may say; pages forgive what makes no sense, the API names it."""

from __future__ import annotations

from django import forms

from sparkweb.form_fields import MomentField
from transcripts_app.selectors_sessions import MARKS, OUTCOMES, PAGE_MOST, SORTS, SessionFilter


def _choices(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [("", ""), *((name, name) for name in names)]


class SessionFilterForm(forms.Form):
    """The query string of a list of sessions."""

    text = forms.CharField(max_length=200, required=False)
    project = forms.CharField(max_length=16, required=False)
    model = forms.CharField(max_length=100, required=False)
    branch = forms.CharField(max_length=200, required=False)
    outcome = forms.ChoiceField(choices=_choices(OUTCOMES), required=False)
    mark = forms.ChoiceField(choices=_choices(tuple(MARKS)), required=False)
    starred = forms.BooleanField(required=False)
    noted = forms.BooleanField(required=False)
    tag = forms.CharField(max_length=40, required=False)
    since = MomentField()
    until = MomentField(whole_day=True)
    warmups = forms.BooleanField(required=False)
    sort = forms.ChoiceField(choices=_choices(tuple(SORTS)), required=False)
    page = forms.IntegerField(min_value=1, max_value=PAGE_MOST, required=False)

    def wanted(self) -> SessionFilter:
        """What was asked for; what makes no sense is left out (errors name it)."""
        self.is_valid()
        known = {name: value for name, value in self.cleaned_data.items() if value}
        return SessionFilter(**known)
