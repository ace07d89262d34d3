"""Which database a model lives in: the archive's tables in the archive, all others in the main database."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

ARCHIVE = "archive"


class ArchiveReadOnly(RuntimeError):
    """Django was asked to write to the archive, which the import process alone does."""


class ArchiveRouter:
    """Reads of the archive's models go to the archive; writes through Django are refused.

    The import process writes through `importing.writer`, with its own connection.
    """

    def db_for_read(self, model: type[Model], **_hints: Any) -> str | None:
        return ARCHIVE if model._meta.app_label == ARCHIVE else None

    def db_for_write(self, model: type[Model], **_hints: Any) -> str | None:
        if model._meta.app_label == ARCHIVE:
            raise ArchiveReadOnly(f"{model.__name__} is written by the import process alone")
        return None

    def allow_relation(self, one: Model, other: Model, **_hints: Any) -> bool | None:
        inside = {one._meta.app_label == ARCHIVE, other._meta.app_label == ARCHIVE}
        return False if len(inside) == 2 else None

    def allow_migrate(self, db: str, app_label: str, **_hints: Any) -> bool | None:
        return (db == ARCHIVE) == (app_label == ARCHIVE)
