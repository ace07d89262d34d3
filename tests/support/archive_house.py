"""`manage.py archive` as a process of its own, in a data folder of its own, with what `prepare` makes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.stack import REPOSITORY, wait_for


class ArchiveHouse:
    """The archive process over a folder of transcripts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.projects = folder, folder / "claude" / "projects"
        self.projects.mkdir(parents=True)
        self.data = folder / "data"
        self.archive = self.data / "archive.sqlite3"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "SPARKWEB_DATA_DIR": str(self.data),
            "SPARKWEB_NODE": "spark-1",
            "SPARKWEB_TRANSCRIPTS": str(self.projects),
            "SPARKWEB_ADMIN_PASSWORD": "correct horse battery",
            "SPARKWEB_DISK_RESERVE_GB": "0",
        }
        self.manage("prepare")

    def manage(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=REPOSITORY, env=self.environment, capture_output=True,
            text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> None:
        with (self.folder / "archive.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "archive"], cwd=REPOSITORY, env=self.environment, stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    def log(self) -> str:
        return (self.folder / "archive.log").read_text(errors="replace")

    def ask(self, query: str, *parameters: Any, main: bool = False) -> list[tuple[Any, ...]]:
        """Read from the archive, or from the main database."""
        path = self.data / "db.sqlite3" if main else self.archive
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(query, parameters).fetchall()
        finally:
            connection.close()

    def waits(self, query: str, expected: Any, *parameters: Any, main: bool = False) -> None:
        """Until the first column of the first row is this."""

        def seen() -> bool:
            rows = self.ask(query, *parameters, main=main)
            return bool(rows) and rows[0][0] == expected

        try:
            wait_for(seen, f"{query} gives {expected!r}", 60)
        except AssertionError as error:
            error.add_note(f"{self.ask(query, *parameters, main=main)}\n{self.log()[-3000:]}")
            raise

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(60)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)
