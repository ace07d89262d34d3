"""What figures may be narrowed to, and the form of a price. Pages forgive nonsense, the API names it."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms

from transcripts_app.figures import DIMENSIONS, Wanted, day_number, days_back
from transcripts_app.models_prices import EVER, ModelPrice

SPANS = ((7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "A year"), (0, "Everything"))
SPAN = 30
FIRST, LAST = date(1970, 1, 1), date(9999, 12, 30)
NUMBER = {"class": "form-control num", "inputmode": "decimal"}


class _Day(forms.DateField):
    """A day that there is."""

    def clean(self, value: Any) -> date | None:
        day = super().clean(value)
        if day is not None and not FIRST <= day <= LAST:
            raise forms.ValidationError(f"Must lie between {FIRST} and {LAST}.")
        return day


class FiguresForm(forms.Form):
    """The query string of figures. Days are UTC; `days` counts back from today, 0 is everything."""

    since = _Day(required=False)
    until = _Day(required=False)
    days = forms.TypedChoiceField(
        choices=[(days, words) for days, words in SPANS], coerce=int, required=False, empty_value=None
    )
    project = forms.CharField(max_length=16, required=False)
    model = forms.CharField(max_length=200, required=False)
    branch = forms.CharField(max_length=300, required=False)
    user = forms.CharField(max_length=150, required=False)
    tool = forms.CharField(max_length=200, required=False)
    by = forms.ChoiceField(choices=[(one, one) for one in DIMENSIONS], required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        since, until = data.get("since"), data.get("until")
        if since and until and since > until:
            raise forms.ValidationError({"until": ["Lies before the first day."]})
        return data

    def wanted(self, span: int = SPAN) -> Wanted:
        """What was asked for, nonsense left out (errors name it). Without days: the last `span`."""
        self.is_valid()
        data = self.cleaned_data
        since, until = self.days_wanted(span)
        texts = {name: data.get(name) or "" for name in ("project", "model", "branch", "user", "tool")}
        return Wanted(
            day_number(since) if since else None, day_number(until) if until else None, **texts
        )  # fmt: skip

    def days_wanted(self, span: int = SPAN) -> tuple[date | None, date | None]:
        """First and last day; None is open."""
        self.is_valid()
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since or until:
            return since, until
        days = self.span(span)
        return (days_back(days) if days else None), None

    def span(self, span: int = SPAN) -> int | None:
        """The span chosen, in days; None where days were given."""
        self.is_valid()
        data = self.cleaned_data
        if data.get("since") or data.get("until"):
            return None
        chosen = data.get("days")
        return span if chosen is None else int(chosen)


class PriceForm(forms.ModelForm):
    """Prices of a model from a day on."""

    valid_from = forms.DateField(
        label="From", required=False, widget=forms.DateInput({"class": "form-control", "type": "date"}),
        help_text="Empty: since there is the model.",
    )  # fmt: skip

    class Meta:
        model = ModelPrice
        fields = [
            "pattern", "valid_from", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h",
            "web_search", "long_above", "long_input_factor", "long_output_factor", "note",
        ]  # fmt: skip
        labels = {
            "pattern": "Model", "input": "Input", "output": "Output", "cache_read": "Cache read",
            "cache_write_5m": "Cache write, 5 min", "cache_write_1h": "Cache write, 1 h",
            "web_search": "1,000 web searches", "long_above": "Long prompts are above, tokens",
            "long_input_factor": "Long: input times", "long_output_factor": "Long: output times",
            "note": "Note",
        }  # fmt: skip
        help_texts = {"pattern": "Its name; dated snapshots are meant too. * stands for anything: qwen*"}
        widgets = {
            name: forms.TextInput(NUMBER)
            for name in ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "web_search",
                         "long_above", "long_input_factor", "long_output_factor")
        } | {name: forms.TextInput({"class": "form-control"}) for name in ("pattern", "note")}  # fmt: skip

    def clean_valid_from(self) -> date:
        return self.cleaned_data["valid_from"] or EVER
