"""What the archive says of a generated corpus is what is true of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db.models import Sum

from bench.transcript_corpus import corpus_make
from transcripts_app.archive.models import Response, Session, ToolCall
from transcripts_app.importing.ledger import Count

TOKENS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "web_searches", "web_fetches",
)  # fmt: skip
SAME = (
    "records", "prompts", "tool_calls", "tool_errors", "api_errors", "compactions", "agents", "lines_added",
    "lines_removed", "is_warmup",
)  # fmt: skip


def test_every_figure_is_true(read: Callable[[], Count], projects: Path) -> None:
    truth = corpus_make(projects, 2, seed=7, bad_lines=30)
    total = read()
    assert (total.bytes, total.files, total.lines) == (truth.bytes, truth.files, truth.lines)
    assert (total.records, total.copies, total.bad, total.blank) == (
        truth.records, truth.copies, truth.bad, truth.blank
    )  # fmt: skip
    sessions = {f"{one.folder}/{one.session_id}": one for one in Session.objects.select_related("project")}
    assert set(sessions) == set(truth.sessions)
    for key, told in truth.sessions.items():
        assert _said(sessions[key], bool(told.title), sessions) == _true(told), key
    billed = Response.objects.filter(is_synthetic=False)
    assert [billed.aggregate(sum=Sum(name))["sum"] for name in TOKENS] == truth.tokens
    warm = billed.filter(is_warmup=True)
    assert [warm.aggregate(sum=Sum(name))["sum"] or 0 for name in TOKENS] == truth.warmup_tokens
    assert (billed.count(), Response.objects.filter(is_synthetic=True).count()) == (
        truth.responses, truth.synthetic
    )  # fmt: skip


def _said(session: Session, titled: bool, sessions: dict[str, Session]) -> dict[str, Any]:
    changed = session.calls.filter(operation__in=("write", "edit"), is_error=False).exclude(path="")
    return {name: getattr(session, name) for name in SAME} | {
        "project": session.project.path,
        "title": session.title if titled else "",
        "tokens": [getattr(session, name) for name in TOKENS[:5]],
        "agent_calls": ToolCall.objects.filter(session=session).exclude(agent_file=None).count(),
        "paths": sorted(set(changed.values_list("path", flat=True))),
        "forked_from": next(
            (key for key, one in sessions.items() if one.pk == session.forked_from_id), ""
        ),
    }  # fmt: skip


def _true(told: Any) -> dict[str, Any]:
    return {name: getattr(told, name) for name in SAME} | {
        "project": told.project, "title": told.title, "tokens": told.tokens[:5],
        "agent_calls": told.agent_calls, "paths": sorted(told.paths), "forked_from": told.forked_from,
    }  # fmt: skip
