"""`manage.py export_models [FILE]`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app import services


class Command(BaseCommand):
    help = "Write all definitions as a models.yaml, to FILE or standard output."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, nargs="?")

    def handle(self, *_args: Any, file: Path | None, **_options: Any) -> None:
        text = services.catalogue_export()
        if file is None:
            sys.stdout.buffer.write(text)
            return
        try:
            file.write_bytes(text)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from error
        self.stdout.write(f"{file}: written")
