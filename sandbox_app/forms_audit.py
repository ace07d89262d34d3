"""What a filter of the tool audit may say; pages forgive what makes no sense, the API names it."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from sandbox_app.models import Outcome
from sandbox_app.models_audit import AuditKind
from sandbox_app.selectors_audit import FAILED, AuditFilter

NUMBER_MOST = 2**62


class MomentField(forms.CharField):
    """A day or a moment; as the end of a span a day counts whole."""

    def __init__(self, *, whole_day: bool = False) -> None:
        super().__init__(required=False, max_length=40)
        self.whole_day = whole_day

    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            day, moment = parse_date(text), parse_datetime(text)
        except ValueError:
            day = moment = None
        try:
            if day is not None and len(text) <= 10:
                moment = datetime.combine(day, time.min) + timedelta(days=int(self.whole_day))
            if moment is None:
                raise forms.ValidationError(f"{text[:40]!r} is no day or moment; write one like 2026-12-01.")
            return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
        except (OverflowError, ValueError):
            raise forms.ValidationError(f"{text[:40]!r} is out of range.") from None


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
