"""`manage.py import_transcripts [PATH…]`: read Claude Code's transcripts into the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from transcripts_app.importing.run import ImportRun
from transcripts_app.importing.writer import ArchiveBusy, Writer

DEFAULT = Path("~/.claude/projects")


class Command(BaseCommand):
    help = "Read transcripts of Claude Code into the archive. Safe to repeat: only what is new is read."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="*", type=Path, help=f"folders, {DEFAULT} if none is given")

    def handle(self, *_args: Any, paths: list[Path], **_options: Any) -> None:
        try:
            with Writer(settings.ARCHIVE_PATH) as writer:
                run = ImportRun(writer, "command")
                for path in paths or [DEFAULT]:
                    run.source_read(settings.NODE_NAME, path.expanduser().resolve())
                run.end()
        except ArchiveBusy as error:
            raise CommandError(f"{error}") from None
        total = run.total
        self.stdout.write(
            f"{total.files} files, {total.lines} lines: {total.records} records ({total.copies} copies), "
            f"{total.bad} bad, {total.blank} blank; {total.bytes} bytes"
        )
