"""Fixtures: an archive of each test's own, and a folder of transcripts to read into it."""

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

from tests.support.claude_code import Transcript
from transcripts_app.importing.costs import costs_refresh
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.run import ImportRun
from transcripts_app.importing.writer import Writer
from transcripts_app.models_prices import ModelPrice
from transcripts_app.prices_shipped import shipped_rows
from transcripts_app.services_prices import prices_table

__all__ = ["archive", "archive_template", "archive_with_one", "archive_with_one_template", "projects", "read"]
ONE = "00000000000000aa"  # the key of both project and session in `archive_with_one`


@pytest.fixture(scope="session")
def archive_template(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Path:
    """An archive that was migrated once, to be copied."""
    path = tmp_path_factory.mktemp("archive") / "template.sqlite3"
    with django_db_blocker.unblock(), archive_at(path):
        call_command("migrate", database="archive", verbosity=0)
        connections["archive"].cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@contextlib.contextmanager
def archive_at(path: Path) -> Iterator[None]:
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
    # A test with a server of its own flushes what migrations stored.
    prices = [ModelPrice(**row) for row in shipped_rows()]
    ModelPrice.objects.bulk_create(prices, ignore_conflicts=True)
    path, before = tmp_path / "archive.sqlite3", settings.ARCHIVE_PATH
    shutil.copy(archive_template, path)
    with archive_at(path):
        settings.ARCHIVE_PATH = path
        yield path
    settings.ARCHIVE_PATH = before


@pytest.fixture(scope="session")
def archive_with_one_template(archive_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with one short session."""
    folder = tmp_path_factory.mktemp("archive-one")
    path, one = folder / "template.sqlite3", Transcript(folder / "projects")
    shutil.copy(archive_template, path)
    one.prompt("Count the basket")
    one.result(one.call("Bash", command="wc -l basket.py"), "12 basket.py")
    one.answer("Twelve lines.")
    one.write()
    with Writer(path) as writer:
        run = ImportRun(writer, "command")
        run.source_read("spark-1", folder / "projects")
        run.end()
        writer.connection.execute("UPDATE archive_session SET key = ?", (ONE,))
        writer.connection.execute("UPDATE archive_project SET key = ?", (ONE,))
        writer.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def archive_with_one(archive: Path, archive_with_one_template: Path) -> Path:
    """The test's archive, holding one session: the keys of session and project are ONE, record ids from 1."""
    shutil.copy(archive_with_one_template, archive)
    return archive


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
            costs_refresh(writer, prices_table())
            one = ImportRun(writer, "command")
            one.source_read("spark-1", projects)
            one.end()
            return one.total

    return run
