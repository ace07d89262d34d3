"""Users, keys and the audit in the admin panel."""

from __future__ import annotations

from typing import Any

import axes.admin  # noqa: F401 - registers its tables, which are then registered in our look
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from sparkweb.accounts.actor import audit
from sparkweb.accounts.models import ApiKey, AuditEntry, NodeKey, Role, Scope, User
from sparkweb.accounts.services import api_key_create, api_key_revoke, user_delete, user_save
from sparkweb.admin_base import ReadOnlyAdmin, ServiceAdmin, admin_actor

admin.site.unregister(Group)
for model in (AccessAttempt, AccessFailureLog, AccessLog):
    admin.site.unregister(model)


class LastAdminKept(UserChangeForm):
    """Refuses what would leave the house without an admin."""

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        stays = data.get("role") == Role.ADMIN and data.get("is_active")
        others = User.objects.filter(role=Role.ADMIN, is_active=True).exclude(pk=self.instance.pk)
        was = User.objects.filter(pk=self.instance.pk, role=Role.ADMIN, is_active=True).exists()
        if was and not stays and not others.exists():
            raise ValidationError("This is the only admin; make someone else admin first.")
        return data


@admin.register(User)
class UserAdmin(ServiceAdmin, DjangoUserAdmin):
    form = LastAdminKept
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = [
        "username",
        "role_shown",
        "is_active",
        "must_change_password",
        "last_login",
        "date_joined",
    ]
    list_filter = ["role", "is_active", "must_change_password"]
    search_fields = ["username", "first_name", "last_name", "email"]
    date_hierarchy = "date_joined"
    ordering = ["username"]
    filter_horizontal = []
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["username", "password", "role", "is_active", "must_change_password"]}),
        ("Person", {"fields": ["first_name", "last_name", "email"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"classes": ["wide"], "fields": ["username", "role", "password1", "password2"]})]

    @display(description="Role", label={"admin": "danger", "operator": "warning", "viewer": "info"})
    def role_shown(self, user: User) -> str:
        return user.role

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            obj.must_change_password = True
        user_save(user=obj, actor=admin_actor(request))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        only = (
            obj is not None
            and obj.role == Role.ADMIN
            and not User.objects.filter(role=Role.ADMIN, is_active=True).exclude(pk=obj.pk).exists()
        )
        return not only and super().has_delete_permission(request, obj)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        user_delete(user=obj, actor=admin_actor(request))


class ApiKeyAdminForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(choices=Scope.choices, widget=UnfoldAdminCheckboxSelectMultipleWidget)

    class Meta:
        model = ApiKey
        fields = ["user", "name", "scopes", "expires_at"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if (at := data.get("expires_at")) and at <= timezone.now():
            self.add_error("expires_at", "This is in the past.")
        return data


@admin.register(ApiKey)
class ApiKeyAdmin(ServiceAdmin):
    form = ApiKeyAdminForm
    list_display = ["__str__", "user", "scopes_shown", "usable", "created_at", "last_used_at", "expires_at"]
    list_filter = ["user", ("revoked_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "prefix", "user__username"]
    date_hierarchy = "created_at"
    list_select_related = ["user"]
    autocomplete_fields = ["user"]
    actions = ["revoke"]

    @display(description="Usable", boolean=True)
    def usable(self, key: ApiKey) -> bool:
        return key.is_usable

    @display(description="Scopes")
    def scopes_shown(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.action(description="Revoke")
    def revoke(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        for key in rows:
            api_key_revoke(key=key, actor=admin_actor(request))
        messages.success(request, "Revoked.")

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, *_args: Any, **_kwargs: Any) -> bool:
        return False

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        try:
            return super().add_view(request, form_url, extra_context)
        except ValidationError as error:  # the scope exceeds the role of the user chosen
            messages.error(request, " ".join(error.messages))
            request.method = "GET"
            return super().add_view(request, form_url, extra_context)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        made, text = api_key_create(
            user=obj.user, scopes=form.cleaned_data["scopes"], name=obj.name, actor=admin_actor(request)
        )
        ApiKey.objects.filter(pk=made.pk).update(expires_at=obj.expires_at)
        obj.pk, obj.prefix, obj.key_hash, obj.scopes = made.pk, made.prefix, made.key_hash, made.scopes
        request._new_key = text  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self.secret_once(request, obj, f"New API key of {obj.user}", [request._new_key])  # type: ignore[attr-defined]


@admin.register(NodeKey)
class NodeKeyAdmin(ReadOnlyAdmin):
    list_display = ["node_name", "public_key", "created_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    search_fields = ["node_name"]
    date_hierarchy = "created_at"
    actions = ["revoke"]

    @admin.action(description="Revoke: its agent is heard no more")
    def revoke(self, request: HttpRequest, rows: QuerySet[NodeKey]) -> None:
        for key in rows.filter(revoked_at=None):
            key.revoked_at = timezone.now()
            key.save(update_fields=["revoked_at"])
            audit(admin_actor(request), "node_key_revoke", key.node_name)
        messages.success(request, "Revoked.")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ["at", "actor_label", "action", "target", "via", "address"]
    list_filter = ["via", "action"]
    search_fields = ["actor_label", "target", "action"]
    date_hierarchy = "at"


@admin.register(AccessAttempt)
class AccessAttemptAdmin(ReadOnlyAdmin):
    """Wrong passwords of the last minutes. Deleting a row lifts its lock."""

    list_display = ["attempt_time", "username", "ip_address", "failures_since_start", "user_agent"]
    list_filter = ["attempt_time"]
    search_fields = ["username", "ip_address"]
    date_hierarchy = "attempt_time"

    def has_delete_permission(self, *_args: Any, **_kwargs: Any) -> bool:
        return True


@admin.register(AccessLog)
class AccessLogAdmin(ReadOnlyAdmin):
    list_display = ["attempt_time", "logout_time", "username", "ip_address", "user_agent"]
    list_filter = ["attempt_time"]
    search_fields = ["username", "ip_address"]
    date_hierarchy = "attempt_time"


@admin.register(AccessFailureLog)
class AccessFailureLogAdmin(ReadOnlyAdmin):
    list_display = ["attempt_time", "username", "ip_address", "locked_out", "user_agent"]
    list_filter = ["locked_out"]
    search_fields = ["username", "ip_address"]
    date_hierarchy = "attempt_time"
