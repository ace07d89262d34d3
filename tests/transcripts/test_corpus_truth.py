"""A corpus whose truth is known, read into the archive: every figure equals it, exactly."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Count as RowCount
from django.db.models import Q, Sum

from bench.corpus_truth import TOKENS, Truth
from bench.transcript_corpus import corpus_make, session_big, sessions_many
from transcripts_app.archive.models import BadLine, Project, Response, Session, ToolCall
from transcripts_app.importing.ledger import Count

Read = Callable[[], Count]
SESSION_FIELDS = (
    "records", "prompts", "tool_calls", "tool_errors", "api_errors", "compactions", "agents", "lines_added",
    "lines_removed", "is_warmup",
)  # fmt: skip


@pytest.fixture
def truth(projects: Path) -> Truth:
    return corpus_make(projects, 3, seed=7, bad_lines=9)


def _tokens_by(field: str) -> dict[str, list[int]]:
    rows = Response.objects.filter(is_synthetic=False).values(field).annotate(**{n: Sum(n) for n in TOKENS})
    return {str(row[field]): [row[name] for name in TOKENS] for row in rows}


def _key(response: dict[str, Any]) -> bytes:
    """As ccusage and the reference say: message and request id, else message id, else uuid."""
    if response["message_id"]:
        told = f"{response['message_id']}\n{response['request_id']}"
        return hashlib.blake2b(told.encode(), digest_size=16).digest()
    return bytes.fromhex(response["uuid"].replace("-", ""))


def _sums_are(truth: Truth) -> None:
    """What does not depend on which of two files was read first."""
    assert _tokens_by("model") == truth.models
    assert _tokens_by("day") == truth.days
    assert _tokens_by("branch") == truth.branches
    assert _tokens_by("session__project__path") == truth.projects
    calls = ToolCall.objects.values("name").annotate(
        n=RowCount("pk"), bad=RowCount("pk", filter=Q(is_error=True))
    )
    assert {row["name"]: [row["n"], row["bad"]] for row in calls} == truth.tools


def test_tokens_are_exact(read: Read, truth: Truth) -> None:
    read()
    _sums_are(truth)
    stored = {
        bytes(row.key): (f"{row.session.folder}/{row.session.session_id}", row.model, row.day, row.branch,
                         row.is_sidechain, row.is_warmup, [getattr(row, name) for name in TOKENS])
        for row in Response.objects.filter(is_synthetic=False).select_related("session")
    }  # fmt: skip
    told = {
        _key(row): (row["session"], row["model"], row["day"], row["branch"], row["is_sidechain"],
                    row["is_warmup"], row["tokens"])
        for row in truth.response_rows()
    }  # fmt: skip
    assert stored == told
    assert Response.objects.filter(is_synthetic=True).count() == truth.synthetic
    assert len(truth.models) >= 4
    assert sum(truth.warmup_tokens) > 0


def test_sessions_are_exact(read: Read, truth: Truth) -> None:
    read()
    stored = {f"{one.folder}/{one.session_id}": one for one in Session.objects.select_related("project")}
    assert stored.keys() == truth.sessions.keys()
    for key, told in truth.sessions.items():
        one = stored[key]
        assert {name: getattr(one, name) for name in SESSION_FIELDS} == {
            name: getattr(told, name) for name in SESSION_FIELDS
        }, key
        assert one.project.path == told.project, key
        assert one.files_touched == len(told.paths), key
        assert [getattr(one, name) for name in TOKENS[:5]] == told.tokens[:5], key
        assert one.calls.exclude(agent_file=None).count() == told.agent_calls, key
        fork = one.forked_from
        assert (f"{fork.folder}/{fork.session_id}" if fork else "") == told.forked_from, key
        if told.title:
            assert one.title == told.title, key


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


@pytest.mark.parametrize("seed", [1, 2])
def test_sums_are_exact_wherever_reading_paused(
    read: Read, projects: Path, tmp_path: Path, seed: int
) -> None:
    """Files grow between two runs, each to another length; what is read in which order changes no sum."""
    rng = random.Random(seed)
    whole = tmp_path / "whole"
    truth = corpus_make(whole, 1.5, seed)
    for path in sorted(whole.rglob("*")):
        if path.is_file() and rng.random() < 0.8:
            data = path.read_bytes()
            part = projects / path.relative_to(whole)
            part.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".jsonl":
                part.write_bytes(data[: rng.randrange(len(data) + 1)])
            else:
                shutil.copy2(path, part)
    first = read()
    shutil.copytree(whole, projects, dirs_exist_ok=True)
    second = read()
    _sums_are(truth)
    assert first.records + second.records == truth.records
    assert first.copies + second.copies == truth.copies
    assert second.rewritten == 0


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


def test_one_big_session(read: Read, projects: Path) -> None:
    truth = session_big(projects, records=600, seed=2)
    read()
    assert Session.objects.get().records == next(iter(truth.sessions.values())).records >= 600
    _sums_are(truth)


def test_many_sessions(read: Read, projects: Path) -> None:
    truth = sessions_many(projects, n=30)
    read()
    assert Session.objects.count() == len(truth.sessions) == 30
    _sums_are(truth)
