"""What a filter of the error atlas may say; pages forgive what makes no sense, the API names it."""

from __future__ import annotations

from django import forms

from transcripts_app.selectors_errors import ErrorFilter

KINDS = (("", "Every kind"), ("tool", "Tool calls"), ("api", "The API"))
DAYS_MOST = 36_500


class ErrorFilterForm(forms.Form):
    """The query string of the error atlas."""

    kind = forms.ChoiceField(choices=KINDS, required=False)
    tool = forms.CharField(max_length=200, required=False)
    project = forms.CharField(max_length=16, required=False)
    model = forms.CharField(max_length=200, required=False)
    text = forms.CharField(max_length=200, required=False)
    days = forms.IntegerField(min_value=0, max_value=DAYS_MOST, required=False)

    def wanted(self) -> ErrorFilter:
        """What was asked for; what makes no sense is left out (errors name it)."""
        self.is_valid()
        return ErrorFilter(**{name: value for name, value in self.cleaned_data.items() if value is not None})
