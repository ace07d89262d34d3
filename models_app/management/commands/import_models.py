"""`manage.py import_models FILE`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app import services
from models_app.exceptions import CatalogueInvalid
from sparkweb.accounts.actor import Actor


class Command(BaseCommand):
    help = "Import the definitions of a models.yaml: all of them, or none with the reasons."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *_args: Any, file: Path, **_options: Any) -> None:
        try:
            text = file.read_bytes()
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from error
        try:
            result = services.catalogue_import(
                text=text, filename=file.name, actor=Actor(None, "import_models", "command")
            )
        except CatalogueInvalid as error:
            raise CommandError("nothing was imported:\n  " + "\n  ".join(error.problems)) from error
        counts = (
            (len(result.created), "created"),
            (len(result.updated), "updated"),
            (len(result.unchanged), "unchanged"),
        )
        self.stdout.write(f"{file.name}: " + ", ".join(f"{count} {word}" for count, word in counts))
