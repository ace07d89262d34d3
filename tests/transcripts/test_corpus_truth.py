"""A corpus whose truth is known, read into the archive: every figure equals it, exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.corpus_truth import Truth
from bench.transcript_corpus import corpus_make
from transcripts_app.archive.models import BadLine, Project
from transcripts_app.importing.ledger import Count

Read = Callable[[], Count]
SESSION_FIELDS = (
    "records", "prompts", "tool_calls", "tool_errors", "api_errors", "compactions", "agents", "lines_added",
    "lines_removed", "is_warmup",
)  # fmt: skip


@pytest.fixture
def truth(projects: Path) -> Truth:
    return corpus_make(projects, 3, seed=7, bad_lines=9)


def test_the_ledger_adds_up(read: Read, truth: Truth, projects: Path) -> None:
    total = read()
    assert (total.files, total.lines, total.records) == (truth.files, truth.lines, truth.records)
    assert (total.copies, total.conflicts) == (truth.copies, 0)
    assert (total.bad, total.blank, BadLine.objects.count()) == (truth.bad, truth.blank, truth.bad)
    assert total.by_type == truth.types
    assert total.bytes == truth.bytes
    metas = sum(path.stat().st_size for path in projects.rglob("*.meta.json"))
    assert truth.bytes + metas == sum(path.stat().st_size for path in projects.rglob("*") if path.is_file())
    assert truth.bad == 9
    assert total.unknown["holo-state"] == truth.types["holo-state"]
    assert set(Project.objects.values_list("path", flat=True)) == {
        one.project for one in truth.sessions.values()
    }


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        corpus_make(tmp_path / name, 0.5, seed=3)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        told = [
            (str(path.relative_to(tmp_path / name)), path.stat().st_mtime_ns, path.read_bytes())
            for path in files
        ]
        digests.append(hashlib.sha256(repr(told).encode()).hexdigest())
    assert digests[0] == digests[1]
