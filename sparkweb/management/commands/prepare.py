"""`manage.py prepare`: what must be there before the first start, and is made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from metrics_app.alerts.shipped import rules_ship
from metrics_app.models import Node
from metrics_app.services import node_create
from sandbox_app.registry import tools_load
from sparkweb import config
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import NodeKey
from sparkweb.accounts.services import ADMIN_NAME, admin_ensure
from sparkweb.node_link.signatures import key_write
from transcripts_app.sources import sources_default

ACTOR = Actor(None, "prepare", "command")


class Command(BaseCommand):
    help = "Bring the database up to date, and make the first user and this machine's node. Safe to repeat."
    requires_system_checks = []  # web runs them; this stands before every start

    def handle(self, *_args: Any, **_options: Any) -> None:
        for alias in connections:
            if _migrations_wait(alias):
                call_command("migrate", database=alias, verbosity=0, interactive=False)
        once = admin_ensure(password=settings.ADMIN_PASSWORD, actor=ACTOR)
        if once:
            self.stdout.write(f"First user: {ADMIN_NAME}\nOne-time password: {once}\nIt is shown only now.")
        node_ensure(config.NODE_NAME, config.NODE_KEY_FILE)
        rules_ship()
        tools_load(ACTOR)
        sources_default(config.NODE_NAME)


def _migrations_wait(alias: str) -> bool:
    executor = MigrationExecutor(connections[alias])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def node_ensure(name: str, key_file: Path) -> None:
    """Make the node of this machine with its key file, where either is missing."""
    known = Node.objects.filter(name=name).exists()
    has_key = NodeKey.objects.filter(node_name=name, revoked_at=None).exists()
    if known and has_key and key_file.exists():
        return
    _, private_key = node_create(name=name, actor=ACTOR)
    key_write(key_file, private_key)
