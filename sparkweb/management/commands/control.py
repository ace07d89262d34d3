"""`manage.py control`: intake, reconcile, and a Celery worker with beat for database work."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Run the control process: it applies what nodes report and acts on what is desired."
    requires_system_checks = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        from sparkweb.control import main

        main()
