"""What pages ask of the ledger, and how limits are set."""

from __future__ import annotations

from typing import Any

from django import forms

from chat_app.models_limits import MOST
from chat_app.usage import DAYS_MOST, GROUPED, UsageFilter
from models_app.models import ModelDefinition
from sparkweb.accounts.models import ApiKey, User


def number_field(label: str) -> forms.IntegerField:
    """A limit that may be left empty."""
    widget = forms.NumberInput({"class": "form-control", "placeholder": "no limit"})
    return forms.IntegerField(label=label, min_value=1, max_value=MOST, required=False, widget=widget)


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


class LimitForm(forms.Form):
    """Limits of one person or one key; empty ones are none."""

    whose = forms.ChoiceField(label="Whose", widget=forms.Select({"class": "form-select"}))
    model_names = forms.MultipleChoiceField(
        label="Models",
        required=False,
        help_text="None chosen: all.",
        widget=forms.SelectMultiple({"class": "form-select", "size": 4}),
    )
    requests_per_minute = number_field("Requests a minute")
    requests_per_day = number_field("Requests in 24 hours")
    tokens_per_minute = number_field("Tokens a minute")
    tokens_per_day = number_field("Tokens in 24 hours")
    parallel = number_field("Requests at once")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = [(f"user:{user.pk}", user.username) for user in User.objects.order_by("username")]
        keys = (
            ApiKey.objects.filter(revoked_at=None).select_related("user").order_by("user__username", "name")
        )
        named = [(f"key:{key.pk}", f"{key.user.username}: {key}") for key in keys]
        self.fields["whose"].choices = [("", "Choose"), ("People", people), ("API keys", named)]  # type: ignore[attr-defined]
        slugs = ModelDefinition.objects.values_list("slug", flat=True)
        self.fields["model_names"].choices = [(slug, slug) for slug in slugs]  # type: ignore[attr-defined]

    def subject(self) -> dict[str, Any]:
        """Return the person or key that was chosen, as `limit_set` takes it."""
        kind, _, number = self.cleaned_data["whose"].partition(":")
        found: Any = User.objects.get(pk=number) if kind == "user" else ApiKey.objects.get(pk=number)
        return {kind: found}
