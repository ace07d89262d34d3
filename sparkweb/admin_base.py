"""What the admin of every app shares: unfold's look, tables that only show, secrets shown once."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin, TabularInline

from sparkweb.accounts.actor import Actor
from sparkweb.accounts.services import actor_of


def admin_actor(request: HttpRequest) -> Actor:
    """Return who works in the admin panel, for audit entries."""
    return actor_of(request, "admin")


class _OnlyShown:
    """Nothing can be added, changed or deleted here."""

    def has_add_permission(self, *_args: Any, **_kwargs: Any) -> bool:
        return False

    def has_change_permission(self, *_args: Any, **_kwargs: Any) -> bool:
        return False

    def has_delete_permission(self, *_args: Any, **_kwargs: Any) -> bool:
        return False


class ReadOnlyAdmin(_OnlyShown, ModelAdmin):
    """A table that is written by services alone."""

    list_per_page = 50
    show_full_result_count = False


class ReadOnlyInline(_OnlyShown, TabularInline):
    """Rows below their parent, as they are."""

    extra = 0
    max_num = 0
    can_delete = False
    tab = True


class ServiceAdmin(ModelAdmin):
    """A table that is changed through services, one row at a time."""

    list_per_page = 50

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def secret_once(self, request: HttpRequest, obj: Model, title: str, lines: list[str]) -> HttpResponse:
        """Answer with a page that shows a secret: not by a message, which would lie in a cookie."""
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "lines": lines,
            "opts": self.opts,
            "original": obj,
        }
        response = TemplateResponse(request, "admin/secret_once.html", context)
        response["Cache-Control"] = "no-store"
        return response
