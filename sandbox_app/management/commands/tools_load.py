"""`manage.py tools_load`"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from sandbox_app.registry import tools_load
from sparkweb.accounts.actor import Actor


class Command(BaseCommand):
    help = "Read the tools from disk again: shipped ones and those in SPARKWEB_TOOLS_DIR."

    def handle(self, *_args: Any, **_options: Any) -> None:
        report = tools_load(Actor(None, "tools_load", "command"))
        self.stdout.write(report.sentence)
        for name, reason in report.refused.items():
            self.stdout.write(f"{name} is refused:\n  " + reason.replace("\n", "\n  "))
