"""`manage.py archive`: reads transcripts as they grow, and does what pages ask of the archive."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Run the archive process: it follows transcripts and writes them into the archive."
    requires_system_checks = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        from sparkweb.logs import logs_setup
        from transcripts_app.importing.process import main

        logs_setup("archive")
        main(settings.ARCHIVE_PATH, settings.NODE_NAME)
