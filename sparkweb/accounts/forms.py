"""Forms of the pages about one's own access."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm

from sparkweb.accounts.models import RANK, SCOPE_RANK, Role, Scope, User


class LoginForm(AuthenticationForm):
    """Name and password."""

    error_messages = {
        "invalid_login": "This user name and password do not fit. Passwords distinguish capital letters.",
        "inactive": "This user is not active. Ask an admin.",
    }


class NewPasswordForm(PasswordChangeForm):
    """The present password and a new one, twice; the new one must differ."""

    def clean_new_password1(self) -> str:
        password: str = self.cleaned_data["new_password1"]
        if self.user.check_password(password):
            raise forms.ValidationError("This is the present password; choose another.")
        return password


class ApiKeyForm(forms.Form):
    """A key for oneself: name, scopes within one's role, days until it ends."""

    name = forms.CharField(max_length=80, help_text="What the key is for.")
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple, initial=[Scope.READ])
    days = forms.IntegerField(
        min_value=1, max_value=3650, required=False, label="Days", help_text="Until it ends; never if empty."
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rank = RANK[Role(user.role)]
        field = self.fields["scopes"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(scope.value, scope.label) for scope in Scope if SCOPE_RANK[scope] <= rank]
