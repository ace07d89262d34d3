"""What a filter of the tool audit may say; pages forgive what makes no sense, the API names it."""

from __future__ import annotations

from django import forms

from sandbox_app.models import Outcome
from sandbox_app.models_audit import AuditKind
from sandbox_app.selectors_audit import FAILED, AuditFilter
from sparkweb.form_fields import MomentField

NUMBER_MOST = 2**62


class AuditFilterForm(forms.Form):
    """The query string of a list of entries."""

    kind = forms.ChoiceField(choices=[("", ""), *AuditKind.choices], required=False)
    tool = forms.CharField(max_length=64, required=False)
    user = forms.CharField(max_length=160, required=False)
    outcome = forms.ChoiceField(choices=[("", ""), (FAILED, "Failed"), *Outcome.choices], required=False)
    run = forms.CharField(max_length=16, required=False)
    text = forms.CharField(max_length=200, required=False)
    since = MomentField()
    until = MomentField(whole_day=True)
    before = forms.IntegerField(min_value=1, max_value=NUMBER_MOST, required=False)

    def wanted(self) -> AuditFilter:
        """What was asked for; what makes no sense is left out (errors name it)."""
        self.is_valid()
        return AuditFilter(**{name: value for name, value in self.cleaned_data.items() if value is not None})
