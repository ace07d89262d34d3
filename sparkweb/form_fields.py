"""Form fields that the filters of several apps share."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime


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
