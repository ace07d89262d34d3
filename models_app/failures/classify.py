"""From a failed attempt to its card. Pure."""

from __future__ import annotations

import re

from models_app.failures.cards import Correction, Failed, FailureCard, Rule, changes_of
from models_app.failures.rules import BY_CODE, BY_WORDS
from models_app.node.exits import line_clean, line_of_failure, line_without_prefix

LINES_MOST = 400
LINE_LIMIT = 2_000
EVIDENCE_LIMIT = 500
_ERRORS = re.compile(r"error|fatal|critical|fail|exception|refus|cannot|could not|unable", re.IGNORECASE)


def failure_classify(failed: Failed) -> FailureCard:
    """Name the failure, quote what shows it, and say what to do.

    A certain code counts first, then the engine's words, the newest line first,
    then the code or how it exited. There is always a card: what nobody knows is
    `unknown`, with the best line of the log.
    """
    by_code = BY_CODE.get(failed.code)
    if by_code and by_code.certain:
        return _card(by_code.kind, by_code.title, failed.reason, by_code.advice)
    for lines in _passes(failed):
        for rule in BY_WORDS:
            card = _by_words(rule, failed, lines)
            if card:
                return card
    if by_code:
        return _card(by_code.kind, by_code.title, failed.reason, by_code.advice)
    return _by_exit(failed)


def _passes(failed: Failed) -> list[list[str]]:
    """The words to look through, surest first: the best line and the reason, lines of errors, all lines.

    A warning on the way may sound like a failure; it counts only where no error explains the end.
    """
    log = [line_without_prefix(line_clean(line[:LINE_LIMIT])) for line in failed.log[-LINES_MOST:]]
    newest = [line for line in reversed(log) if line]
    best = [line for line in (line_of_failure(list(failed.log)), failed.reason[:LINE_LIMIT]) if line]
    return [best, [line for line in newest if _ERRORS.search(line)], newest]


def _by_words(rule: Rule, failed: Failed, lines: list[str]) -> FailureCard | None:
    for line in lines:
        if match := rule.pattern.search(line):
            correction = rule.correct(failed, match) if rule.correct else {}
            return _card(rule.kind, rule.title, line, rule.advice, failed, correction)
    return None


def _by_exit(failed: Failed) -> FailureCard:
    said = line_of_failure(list(failed.log)) or failed.reason
    if failed.oom_killed:
        rule = BY_CODE["out_of_memory"]
        return _card(rule.kind, rule.title, failed.reason, rule.advice)
    if failed.exit_code == 137:
        return _card(
            "killed",
            "Killed from outside",
            failed.reason or said,
            "By someone, or by the kernel because the machine ran out of memory: see dmesg on the node.",
        )
    if failed.exit_code == 135:
        return _card(
            "shm", "It died of a bus error", said, "Often /dev/shm is too small: set ipc to host.", failed,
            {"ipc": "host", "shm_size": None},
        )  # fmt: skip
    if failed.exit_code == 0:
        return _card(
            "ended",
            "It ended by itself, without an error",
            said,
            "A server should not end: check the command of the definition.",
        )
    return _card("unknown", "It failed for a reason that SparkWeb does not know", said, "Read the log below.")


def _card(
    kind: str,
    title: str,
    evidence: str,
    advice: str,
    failed: Failed | None = None,
    correction: Correction | None = None,
) -> FailureCard:
    quoted = evidence if len(evidence) <= EVIDENCE_LIMIT else evidence[: EVIDENCE_LIMIT - 1] + "…"
    changes = changes_of(failed, correction) if failed and correction else ()
    return FailureCard(kind, title, quoted, advice, changes)
