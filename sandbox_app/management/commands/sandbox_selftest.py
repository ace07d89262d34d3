"""`manage.py sandbox_selftest`"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metrics_app.models import Node
from metrics_app.selectors import local_node
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models_selftest import SelfTestState
from sandbox_app.selftest.services import admin_actor_of, selftest_create, selftest_run
from sparkweb.accounts.models import Role, User


class Command(BaseCommand):
    help = "Attack the sandbox of a node with sixty-two programs and requests, and print what came of each."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--node", default="", help="Name of the node; this machine's if left out.")
        parser.add_argument("--user", default="", help="An admin; the first one if left out.")
        parser.add_argument("--json", action="store_true", help="The rows as JSON.")

    def handle(self, *_args: Any, **options: Any) -> None:
        node = Node.objects.filter(name=options["node"]).first() if options["node"] else local_node()
        admins = User.objects.filter(role=Role.ADMIN, is_active=True).order_by("pk")
        user = admins.filter(username=options["user"]).first() if options["user"] else admins.first()
        if node is None or user is None:
            raise CommandError("there is no such node, or no such admin; is SparkWeb running?")
        try:
            test, made = selftest_create(node=node, actor=admin_actor_of(user))
        except ToolRefused as refused:
            raise CommandError(refused.message) from refused
        if not made:
            raise CommandError(f"a self-test of {node} is under way; look at its page")
        test = selftest_run(test)
        if options["json"]:
            self.stdout.write(json.dumps({"state": test.state, "leaked": test.leaked, "rows": test.rows}))
        else:
            self._table(test.rows)
        if test.state != SelfTestState.HELD:
            raise CommandError(f"{test.get_state_display()}. {test.reason}".strip())

    def _table(self, rows: list[dict[str, Any]]) -> None:
        for row in sorted(rows, key=lambda row: row["number"]):
            self.stdout.write(f"{row['number']:>2}  {row['verdict']:<7} {row['name']:<40} {row['seen']}")
