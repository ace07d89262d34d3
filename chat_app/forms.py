"""What a query string asks of the ledger."""

from __future__ import annotations

from django import forms

from chat_app.usage import DAYS_MOST, GROUPED, UsageFilter


class UsageForm(forms.Form):
    """What makes no sense is left out."""

    days = forms.IntegerField(min_value=1, max_value=DAYS_MOST, required=False)
    model = forms.CharField(max_length=80, required=False)
    user = forms.CharField(max_length=150, required=False)
    key = forms.CharField(max_length=100, required=False)
    endpoint = forms.CharField(max_length=40, required=False)

    def wanted(self) -> UsageFilter:
        """Return what was asked for."""
        self.is_valid()
        texts = {name: self.cleaned_data.get(name) or "" for name in GROUPED}
        return UsageFilter(days=self.cleaned_data.get("days") or 30, **texts)
