"""Does fit.py accept what did not fit, and how often does it refuse what did? Beside two simpler rules.

    .venv/bin/python -m bench.fit [--json]

Judges the cases of tests/support/memory_cases.py (reported starts, and starts
whose end the engine's own rule decides). The old rule compares the owner's
estimate with MemAvailable less the reserve, the other one weights x 1.2; where
a rule has no figure it accepts, as it has to, and that is counted apart. On
discrete cards both take the free memory of all cards together, as the old rule did.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.figures import show
from tests.support.memory_cases import CASES, RESERVE_GIB, Case, judge

ROUNDS = 20
# Whether it accepts; None: it has no figure to go by.
Rule = Callable[[Case], bool | None]


def estimate_rule(case: Case) -> bool | None:
    return None if case.estimate is None else case.estimate + RESERVE_GIB <= _free(case)


def weights_rule(case: Case) -> bool | None:
    return None if case.weights is None else 1.2 * case.weights + RESERVE_GIB <= _free(case)


def _free(case: Case) -> float:
    return sum(free for _, free in case.cards) if case.cards else case.available


RULES: dict[str, Rule] = {
    "fit.py": lambda case: judge(case).can_start,
    "estimate against MemAvailable": estimate_rule,
    "weights x 1.2": weights_rule,
}


def figures() -> list[dict[str, Any]]:
    """Return one row for each rule."""
    rows = []
    for name, rule in RULES.items():
        answers = [(case, rule(case)) for case in CASES]
        rows.append(
            {
                "rule": name,
                "false accepts": sum(said is True and not case.fits for case, said in answers),
                "accepts without a figure": sum(said is None and not case.fits for case, said in answers),
                "false refusals": sum(said is False and case.fits for case, said in answers),
            }
        )
    return rows


def answer_microseconds() -> float:
    """Return how long one answer of fit.py takes, the median of all rounds."""
    spans = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for case in CASES:
            judge(case)
        spans.append((time.perf_counter() - began) / len(CASES))
    return round(1e6 * statistics.median(spans))


def main() -> int:
    as_json = "--json" in sys.argv
    reported = sum(case.told == "report" for case in CASES)
    fits = sum(case.fits for case in CASES)
    title = f"{len(CASES)} cases ({reported} reported): {len(CASES) - fits} did not fit, {fits} did"
    rows = figures()
    show(title, rows, as_json)
    if not as_json:
        refused = [case.name for case in CASES if case.fits and not judge(case).can_start]
        print(f"fit.py refuses, although it would run: {'; '.join(refused)}")
        print(f"one answer takes {answer_microseconds():g} us")
    return int(rows[0]["false accepts"] > 0)


if __name__ == "__main__":
    sys.exit(main())
