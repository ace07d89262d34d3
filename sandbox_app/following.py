"""Answers that are told while a run goes on: what a waiting call gets, and the events of a stream.

Whoever waits without `detached` takes the run along when leaving: a call at once, a stream after
some seconds in which it may come back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import structlog

from sandbox_app.job import Ending
from sandbox_app.models import RunState, ToolRun
from sandbox_app.services import tool_run_cancel
from sandbox_app.waiting import artifacts_wait, ending_read, on_thread, run_follow
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import Role

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 15.0
COMES_BACK_SECONDS = 10.0
_followers: Counter[str] = Counter()
_tasks: set[asyncio.Task[Any]] = set()  # asyncio itself holds tasks weakly


async def entries_with_beats(run: ToolRun, after: str = "0") -> AsyncIterator[dict[str, Any] | None]:
    """The entries of a run; None where none came for 15 s."""
    entries = run_follow(run, after)
    waiting: asyncio.Task[dict[str, Any]] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(entries))
            done, _ = await asyncio.wait([waiting], timeout=HEARTBEAT_SECONDS)
            if not done:
                yield None
                continue
            entry, waiting = waiting.result(), None
            yield entry
            if entry["kind"] == "end":
                return
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait([waiting])
        await entries.aclose()


async def answer_of(run: ToolRun, ending: Ending) -> dict[str, Any]:
    """What older clients know of a run's end, and how it ended exactly."""
    from sandbox_app.serializers_runs import ArtifactSerializer

    rows = await artifacts_wait(run, ending)
    failed = ending.reason or ending.stderr.strip()[-2000:] or f"exit code {ending.exit_code}"
    return {
        "success": ending.outcome == "ok",
        "output": ending.stdout,
        "error": None if ending.outcome == "ok" else failed,
        "execution_time": ending.duration_ms / 1000 if ending.duration_ms is not None else None,
        "exec_id": run.uid,
        "outcome": ending.outcome,
        "exit_code": ending.exit_code,
        "stderr": ending.stderr,
        "result": ending.result,
        "truncated": ending.truncated,
        "artifacts": [dict(row) for row in ArtifactSerializer(rows, many=True).data],
    }


async def call_answer(
    run: ToolRun, actor: Actor, answer: Callable[[ToolRun, Ending], Awaitable[dict[str, Any]]] = answer_of
) -> AsyncIterator[bytes]:
    """The JSON of a call that waits, as `answer` makes it; blanks before it keep proxies from giving up."""
    ended = False
    try:
        async for entry in entries_with_beats(run):
            if entry is None:
                yield b" "
            elif entry["kind"] == "end":
                ended = True
                yield orjson.dumps(await answer(run, ending_read(entry["ending"])))
    finally:
        if not ended:
            leave(run, actor)


def leave(run: ToolRun, actor: Actor) -> None:
    """Whoever waited for a run has gone, and takes it along unless it is detached."""
    if not run.detached:
        _later(_cancel(run, actor))


async def events(run: ToolRun, actor: Actor, after: str) -> AsyncIterator[bytes]:
    """A run as server-sent events: output, skipped, gap, state, end. Source: html.spec.whatwg.org, 9.2."""
    _followers[run.uid] += 1
    ended = False
    is_own = actor.user is not None and run.user_id == actor.user.pk
    sees_all = is_own or actor.may(Role.ADMIN)
    try:
        yield b"retry: 1000\n\n"
        async for entry in entries_with_beats(run, after):
            if not (sees_all or entry is None or entry.get("state") == RunState.APPROVAL):
                return  # an operator sees what waits for approval, and not what came of it
            yield event_text(entry)
            ended = entry is not None and entry["kind"] == "end"
    finally:
        _followers[run.uid] -= 1
        if not _followers[run.uid]:
            del _followers[run.uid]
        # Whoever only looks at a run that a program began, on its page, does not end it by leaving.
        began_it = is_own and (actor.rank is None) == (run.via == "page")
        if not ended and not run.detached and began_it:
            _later(_cancel_unless_back(run, actor))


def event_text(entry: dict[str, Any] | None) -> bytes:
    """One event; a comment for None."""
    if entry is None:
        return b": still here\n\n"
    kind = {"out": "output"}.get(str(entry["kind"]), str(entry["kind"]))
    data = {name: value for name, value in entry.items() if name not in ("id", "kind")}
    told = b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"
    return b"id: " + str(entry["id"]).encode() + b"\n" + told if "id" in entry else told


def _later(work: Any) -> None:
    task = asyncio.ensure_future(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _cancel_unless_back(run: ToolRun, actor: Actor) -> None:
    await asyncio.sleep(COMES_BACK_SECONDS)
    if not _followers[run.uid]:
        await _cancel(run, actor)


async def _cancel(run: ToolRun, actor: Actor) -> None:
    await on_thread(lambda: caller_left(run, actor))


def caller_left(run: ToolRun, actor: Actor) -> None:
    """End a run that nobody waits for any more, unless it is detached. Twice is as good as once."""
    if run.detached:
        return
    log.info("the caller of a run has left", run=run.uid)
    try:
        tool_run_cancel(run=run, actor=actor, reason="its caller has left")
    except Exception:
        log.exception("a run whose caller has left was not cancelled", run=run.uid)
