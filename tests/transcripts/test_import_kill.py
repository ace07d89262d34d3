"""Killed with -9 at any moment and run again, or read as it grows: always the same archive."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.transcript_corpus import corpus_make
from tests.support.archive_digest import archive_says
from transcripts_app.importing.costs import costs_refresh
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.writer import Writer
from transcripts_app.services_prices import prices_table

Read = Callable[[], Count]
ROOT = Path(__file__).resolve().parents[2]
KILLS_MOST = 4


def _import(archive: Path, folder: Path, kind: str, at: int, apart: bool) -> tuple[int, int]:
    """Return the exit status, and how many statements or steps there were."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.doomed_import",
         archive, folder, kind, str(at), str(int(apart))],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode in (0, -9), done.stderr
    return done.returncode, int(done.stdout or 0)


@pytest.fixture
def corpus(projects: Path) -> Path:
    corpus_make(projects, 0.6, seed=3, bad_lines=12)
    return projects


def _copy(archive: Path, name: str) -> Path:
    return Path(shutil.copy(archive, archive.with_name(name)))


@pytest.mark.parametrize("kind", ["statement", "step"])
def test_killed_at_any_moment_and_run_again(archive: Path, corpus: Path, kind: str) -> None:
    whole = _copy(archive, "whole.sqlite3")
    _, moments = _import(whole, corpus, kind, 0, apart=False)
    truth = archive_says(whole)
    assert truth["session"]
    killed = 0
    for seed in range(6):
        rng = random.Random(f"{kind}{seed}")
        one = _copy(archive, f"{kind}{seed}.sqlite3")
        for _ in range(KILLS_MOST):
            status, _ = _import(one, corpus, kind, rng.randrange(1, moments), apart=bool(seed % 2))
            killed += status != 0
        _import(one, corpus, kind, 0, apart=bool(seed % 2))
        says = archive_says(one)
        for subject, said in truth.items():
            assert says[subject] == said, f"{subject}, {kind}, seed {seed}"
    assert killed >= 6


def test_read_as_it_grows_or_at_once(archive: Path, corpus: Path, read: Read) -> None:
    whole = _copy(archive, "whole.sqlite3")
    with Writer(whole) as writer:
        costs_refresh(writer, prices_table())  # as `read` does
    _import(whole, corpus, "statement", 0, apart=False)
    rng = random.Random(5)
    files = sorted(
        (path for path in corpus.rglob("*") if path.is_file()),
        key=lambda path: (path.stat().st_mtime_ns, str(path.relative_to(corpus))),
    )
    grown = [(path, path.read_bytes(), path.stat()) for path in files]
    for path, _, _ in grown:
        path.unlink()
    for path, data, status in grown:
        cuts = sorted({rng.randrange(len(data) + 1), rng.randrange(len(data) + 1), len(data)})
        if path.suffix != ".jsonl":
            cuts = [len(data)]
        for cut in cuts:
            path.write_bytes(data[:cut])
            if cut == len(data):
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            read()
    truth, says = archive_says(whole), archive_says(archive)
    for subject, said in truth.items():
        assert says[subject] == said, subject
