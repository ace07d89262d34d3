"""The whole self-test, row by row, and what must hold after each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from metrics_app.models import Node
from metrics_app.selectors import node_snapshot
from sandbox_app.models import ToolRun
from sandbox_app.selftest.bench import LONG_SECONDS, SHORT_SECONDS, Bench, NeverEnded
from sandbox_app.selftest.checks import CHECKS, TESTED, Broken, Check
from sandbox_app.selftest.programs_read import Program, programs_read
from sparkweb.accounts.actor import Actor
from sparkweb.refusal import Refused

HELD, FAILED, TESTED_ELSEWHERE = "held", "failed", "tested"


@dataclass(frozen=True)
class Row:
    """One attack: `verdict` is held, failed, or tested (by the test that `seen` names)."""

    number: int
    name: str
    expected: str
    seen: str
    verdict: str
    run: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it is stored and printed."""
        return asdict(self)


def rows_of(node: Node, actor: Actor) -> Iterator[Row]:
    """Attack the sandbox of `node`, row after row. `actor` must be an admin: some rows need sessions."""
    bench = Bench(node, actor)
    try:
        attacks: list[Program | Check] = [*programs_read(), *CHECKS]
        for attack in sorted(attacks, key=lambda one: one.number):
            row = _program(bench, attack) if isinstance(attack, Program) else _check(bench, attack)
            yield _with_invariant(bench, row)
    finally:
        bench.close()
    for number, (name, shown) in TESTED.items():
        yield Row(number, name, "", shown, TESTED_ELSEWHERE)


def _program(bench: Bench, attack: Program) -> Row:
    expected = " or ".join(attack.outcomes)
    try:
        arguments = {"code": attack.code}
        session = bench.session() if attack.session else None
        seconds = SHORT_SECONDS if "wall" in attack.outcomes else LONG_SECONDS
        run = bench.call("code_execution", arguments, session, seconds=seconds)
    except (Refused, NeverEnded) as trouble:
        return Row(attack.number, attack.name, expected, str(trouble), FAILED)
    finally:
        if attack.session:
            bench.session_end()  # what filled it goes with it
    said = run.stdout.strip()
    fits = run.outcome in attack.outcomes and re.search(attack.said, said, re.MULTILINE) is not None
    seen = f"{run.outcome}: {(run.reason or said or run.stderr.strip())[:160]}"
    return Row(attack.number, attack.name, expected, seen, HELD if fits else FAILED, run.uid)


def _check(bench: Bench, attack: Check) -> Row:
    try:
        return Row(attack.number, attack.name, attack.expected, attack.run(bench), HELD)
    except (Broken, Refused, NeverEnded) as trouble:
        return Row(attack.number, attack.name, attack.expected, str(trouble), FAILED)


def _with_invariant(bench: Bench, row: Row) -> Row:
    """After each row: the next run is right, and this one's record is closed."""
    try:
        after = bench.call("code_execution", {"code": "print(6 * 7)"})
        if after.stdout.strip() != "42":
            return _failed(row, f"the next run said {after.outcome} {after.stdout[:40]!r}")
        run = ToolRun.objects.filter(uid=row.run).first() if row.run else None
        if run is not None and not bench.is_recorded(run):
            return _failed(row, "its record is not closed")
    except (Refused, NeverEnded) as trouble:
        return _failed(row, f"the next run failed: {trouble}")
    return row


def _failed(row: Row, sentence: str) -> Row:
    return Row(row.number, row.name, row.expected, f"{row.seen}; {sentence}", FAILED, row.run)


def leaked(node: Node) -> int | None:
    """How many containers of ours the node found that belong to nobody; None while it is silent."""
    section = ((node_snapshot(node.name) or {}).get("report") or {}).get("sandbox")
    told = section.get("leaked") if isinstance(section, dict) else None
    return told if isinstance(told, int) else None
