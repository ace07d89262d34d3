"""`manage.py restore_transcript KEY [--to PATH]`: write a session back for `claude --resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from transcripts_app.archive.models import Session
from transcripts_app.restoring import RestoreRefused, session_restore


class Command(BaseCommand):
    help = "Write a session's files back as they were read. What is there is never overwritten."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", help="of the session: the last part of its page's address, or its id")
        parser.add_argument("--to", type=Path, help="another folder than the one that it was read from")

    def handle(self, *_args: Any, key: str, to: Path | None, **_options: Any) -> None:
        rows = Session.objects.select_related("source")
        found = list(rows.filter(key=key)[:1]) or list(rows.filter(session_id=key)[:2])
        if len(found) != 1:
            many = (
                "several sessions have this id; name one by its key" if found else "there is no such session"
            )
            raise CommandError(f"{key}: {many}.")
        [session] = found
        if to is None and session.source.kind != "local":
            raise CommandError(
                f"It was read on {session.source.node}; say where to write it with --to FOLDER."
            )
        root = (to or Path(session.source.root)).expanduser()
        if to is not None:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            done = session_restore(session, root)
        except RestoreRefused as refused:
            raise CommandError(str(refused)) from None
        for path in done.written:
            self.stdout.write(path)
        self.stdout.write(done.sentence)
