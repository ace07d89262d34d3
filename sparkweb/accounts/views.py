"""Pages about one's own access: login, password, API keys."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse, reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from sparkweb.accounts.forms import ApiKeyForm, LoginForm, NewPasswordForm
from sparkweb.accounts.models import ApiKey, User
from sparkweb.accounts.services import actor_of, api_key_create, api_key_revoke, password_changed


class Login(LoginView):
    """The only page without login. Too many wrong passwords lock name and address for ten minutes."""

    template_name = "accounts/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True


class PasswordChange(PasswordChangeView):
    """A new password; other sessions of this user end with it."""

    template_name = "accounts/password_change.html"
    form_class = NewPasswordForm
    success_url = reverse_lazy("dashboard")

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        password_changed(user=_user(self.request), actor=actor_of(self.request))
        messages.success(self.request, "Your new password is set.")
        return response


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def api_keys(request: HttpRequest) -> HttpResponse:
    """List one's own keys; POST makes one and shows it this once."""
    user = _user(request)
    form = ApiKeyForm(request.POST or None, user=user)
    new_key = None
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        _, new_key = api_key_create(
            user=user, scopes=data["scopes"], name=data["name"], days=data["days"], actor=actor_of(request)
        )
        form = ApiKeyForm(user=user)
    context = {"keys": user.api_keys.filter(revoked_at=None), "new_key": new_key, "form": form}
    return render(request, "accounts/api_keys.html", context)


@require_POST
def api_key_revoke_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Revoke one of one's own keys."""
    key = get_object_or_404(ApiKey, pk=pk, user=_user(request))
    api_key_revoke(key=key, actor=actor_of(request))
    messages.success(request, f"The key {key.prefix}… is revoked.")
    return HttpResponseRedirect(reverse("api_keys"))


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
