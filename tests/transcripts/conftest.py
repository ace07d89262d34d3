"""An archive of each test's own, and a folder of transcripts to read into it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from transcripts_app.importing.ledger import Count
from transcripts_app.importing.run import ImportRun
from transcripts_app.importing.writer import Writer


@pytest.fixture(scope="session")
def archive_template(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Path:
    """An archive that was migrated once, to be copied."""
    path = tmp_path_factory.mktemp("archive") / "template.sqlite3"
    with django_db_blocker.unblock(), _archive_at(path):
        call_command("migrate", database="archive", verbosity=0)
        connections["archive"].cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@contextlib.contextmanager
def _archive_at(path: Path) -> Iterator[None]:
    """Within, Django's connections to the archive are new ones, to `path`."""
    old, name = connections["archive"], connections.databases["archive"]["NAME"]
    del connections["archive"]
    connections.databases["archive"]["NAME"] = path
    try:
        yield
    finally:
        connections["archive"].close()
        connections["archive"] = old
        connections.databases["archive"]["NAME"] = name


@pytest.fixture
def archive(db: None, archive_template: Path, tmp_path: Path) -> Iterator[Path]:
    """An empty archive, a file of this test alone. Django reads it outside of the test's transaction."""
    path, before = tmp_path / "archive.sqlite3", settings.ARCHIVE_PATH
    shutil.copy(archive_template, path)
    with _archive_at(path):
        settings.ARCHIVE_PATH = path
        yield path
    settings.ARCHIVE_PATH = before


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    """A folder like ~/.claude/projects."""
    folder = tmp_path / "projects"
    folder.mkdir()
    return folder


@pytest.fixture
def read(archive: Path, projects: Path) -> Callable[[], Count]:
    """Read what is new below `projects` into the archive."""

    def run() -> Count:
        with Writer(archive) as writer:
            one = ImportRun(writer, "command")
            one.source_read("spark-1", projects)
            one.end()
            return one.total

    return run
