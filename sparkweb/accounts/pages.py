"""Who may see a page or press its buttons."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from sparkweb.accounts.models import Role, User

View = Callable[..., HttpResponse]


def role_required(role: Role) -> Callable[[View], View]:
    """Let only users with `role` or a higher one in; everyone else gets 403."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not cast(User, request.user).has_role(role):
                raise PermissionDenied(f"This needs the role {role}.")
            return view(request, *args, **kwargs)

        return guarded

    return decorate
