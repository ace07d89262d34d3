"""Every table of the admin panel opens, filters and searches; records cannot be changed there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib import admin as django_admin
from django.test import Client
from django.urls import reverse

from models_app.models import Launch, ModelDefinition
from sparkweb.accounts.models import ApiKey, AuditEntry, NodeKey, User
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory

pytestmark = pytest.mark.django_db
TABLES = [(model, model_admin) for model, model_admin in django_admin.site._registry.items()]


@pytest.fixture
def panel(client_of: Callable[..., Client], admin: User, archive_with_one: Path) -> Client:
    return client_of(admin)


@pytest.fixture
def launch() -> Launch:
    launch = LaunchFactory()
    MemberFactory(attempt=AttemptFactory(launch=launch))
    launch.events.create(kind="requested", message="Start requested")
    return launch


@pytest.mark.parametrize(("model", "model_admin"), TABLES, ids=[model._meta.label for model, _ in TABLES])
def test_every_table_lists_searches_filters_and_is_in_unfold(
    panel: Client, launch: Launch, model, model_admin
) -> None:  # type: ignore[no-untyped-def]
    from unfold.admin import ModelAdmin

    assert isinstance(model_admin, ModelAdmin)
    assert model_admin.search_fields
    assert model_admin.list_filter
    where = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    assert panel.get(where, {"q": "x"}).status_code == 200
    assert panel.get(where).status_code == 200
    row = model.objects.first()
    if row is not None:
        change = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.pk])
        assert panel.get(change).status_code == 200


def test_audit_entries_cannot_be_changed_or_deleted(panel: Client, admin: User) -> None:
    entry = AuditEntry.objects.create(actor_label="x", via="page", action="launch_start")
    where = reverse("admin:accounts_auditentry_change", args=[entry.pk])
    assert panel.post(where, {"action": "forged"}).status_code == 403
    assert panel.post(reverse("admin:accounts_auditentry_delete", args=[entry.pk])).status_code == 403
    entry.refresh_from_db()
    assert entry.action == "launch_start"


def test_new_api_key_is_shown_once_and_works(panel: Client, viewer: User, client: Client) -> None:
    data = {"user": viewer.pk, "name": "cron", "scopes": ["read"], "expires_at_0": "", "expires_at_1": ""}
    answer = panel.post(reverse("admin:accounts_apikey_add"), data)
    assert answer.status_code == 200
    key = ApiKey.objects.get()
    text = re.findall(r"sw_[\w-]{43}", answer.content.decode())[0]
    assert ApiKey.hash_of(text) == key.key_hash
    assert "no-store" in answer["Cache-Control"]
    assert text not in panel.get(reverse("admin:accounts_apikey_changelist")).content.decode()
    assert client.get("/api/me", headers={"Authorization": f"Bearer {text}"}).json()["username"] == "viewer"


def test_api_key_beyond_the_role_of_its_owner_is_refused(panel: Client, viewer: User) -> None:
    data = {"user": viewer.pk, "name": "cron", "scopes": ["admin"], "expires_at_0": "", "expires_at_1": ""}
    answer = panel.post(reverse("admin:accounts_apikey_add"), data)
    assert "viewer is viewer; the scope admin exceeds that" in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_start_and_stop_are_admin_actions_with_audit(panel: Client) -> None:
    node = NodeFactory(name="spark-1", status="online")
    definition = DefinitionFactory(estimated_memory_gb=None)
    where = reverse("admin:models_app_modeldefinition_changelist")
    panel.post(where, {"action": "start", "_selected_action": [definition.pk]})
    launch = Launch.objects.get(definition=definition, node=node)
    entry = AuditEntry.objects.get(action="launch_start")
    assert (entry.via, entry.actor_label) == ("admin", "admin")
    panel.post(
        reverse("admin:models_app_launch_changelist"), {"action": "stop", "_selected_action": [launch.pk]}
    )
    launch.refresh_from_db()
    assert launch.desired == "stopped"
    assert AuditEntry.objects.filter(action="launch_stop", via="admin").exists()


def test_start_that_is_refused_says_why(panel: Client) -> None:
    NodeFactory(name="spark-1", status="online")
    definition = DefinitionFactory(engine="script")
    where = reverse("admin:models_app_modeldefinition_changelist")
    answer = panel.post(where, {"action": "start", "_selected_action": [definition.pk]}, follow=True)
    assert "Script" in answer.content.decode()
    assert not Launch.objects.exists()


def test_definition_is_saved_through_the_service(panel: Client) -> None:
    data = {"name": "Q", "slug": "q", "engine": "vllm", "model_id": "a/b", "port": "8100", "publish": "local",
            "position": "0", "priority": "5", "node_count": "1", "settings": "{}", "extra": "{}",
            "enabled": "on"}  # fmt: skip
    answer = panel.post(reverse("admin:models_app_modeldefinition_add"), data)
    assert answer.status_code == 302, answer.context["errors"]
    assert AuditEntry.objects.get(action="definition_create").target == "q"


def test_definition_in_use_cannot_be_deleted(panel: Client, launch: Launch) -> None:
    where = reverse("admin:models_app_modeldefinition_delete", args=[launch.definition.pk])
    assert panel.post(where, {"post": "yes"}).status_code == 403
    assert ModelDefinition.objects.exists()


def test_new_node_shows_its_key_once(panel: Client) -> None:
    answer = panel.post(reverse("admin:metrics_app_node_add"), {"name": "spark-2", "labels": "{}"})
    assert "SPARKWEB_NODE=spark-2" in answer.content.decode()
    assert NodeKey.objects.get().node_name == "spark-2"


def test_the_only_admin_stays_admin(panel: Client, admin: User) -> None:
    where = reverse("admin:accounts_user_change", args=[admin.pk])
    answer = panel.post(where, {"username": "admin", "role": "viewer", "is_active": "on"})
    assert "only admin" in answer.content.decode()
    assert (
        panel.post(reverse("admin:accounts_user_delete", args=[admin.pk]), {"post": "yes"}).status_code == 403
    )
    admin.refresh_from_db()
    assert admin.role == "admin"


def test_new_user_must_change_the_password_set_for_them(panel: Client) -> None:
    data = {
        "username": "eve",
        "role": "viewer",
        "password1": "a long enough one",
        "password2": "a long enough one",
        "usable_password": "true",
    }
    assert panel.post(reverse("admin:accounts_user_add"), data).status_code == 302
    eve = User.objects.get(username="eve")
    assert eve.must_change_password
    assert eve.check_password("a long enough one")
    assert AuditEntry.objects.get(action="user_create").target == "eve"
