"""Looking for likely secrets while reading: one pass of RE2 over whole lines, details only where it stops.

The lines are raw JSON; a secret written with \\u escapes is found when it is shown, not here. No Django here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

from transcripts_app.redaction.detectors import key_patterns
from transcripts_app.redaction.rules import (
    HEADERS,
    MEMORY_BYTES,
    NAMES,
    OPTIONS,
    URLS,
    PatternBad,
    compiled,
    likely_rules,
)

LINE_MOST = 2**20
"""Bytes of one line that are looked at in detail around a find."""


def secrets_find(data: bytes) -> Iterator[tuple[int, int, Counter[str]]]:
    """Yield start and end of each line of `data` with likely secrets, and how many by rule."""
    hint, at = _hint(), 0
    while found := hint.search(data, at):
        start = data.rfind(b"\n", 0, found.start()) + 1
        end = data.find(b"\n", found.start())
        end = len(data) if end < 0 else end
        counts = _detail(
            data[max(start, found.start() - LINE_MOST // 2) : min(end, found.start() + LINE_MOST)]
        )
        if counts:
            yield start, end, counts
        at = end + 1
        if at >= len(data):
            return


def secrets_by_line(data: bytes) -> dict[int, tuple[tuple[str, int], ...]]:
    """What `secrets_find` finds, by where the line starts."""
    return {start: tuple(sorted(counts.items())) for start, _, counts in secrets_find(data)}


def _detail(line: bytes) -> Counter[str]:
    counts: Counter[str] = Counter()
    for rule in likely_rules().rules:
        if rule.name == "keys" and not _keys_hint().search(line):
            continue  # one pass instead of one for each service's form of key
        found = {span for look in rule.looks for span in look.spans(line)}
        if found:
            counts[rule.name] = len(found)
    return counts


@cache
def _keys_hint() -> Any:
    """One pattern that stops wherever a key's form could find something."""
    return compiled("|".join(f"(?:{part})" for part in _keys()), MEMORY_BYTES)


def _keys() -> list[str]:
    parts = []
    for pattern in key_patterns():
        try:
            compiled(pattern)
        except PatternBad:
            continue
        parts.append(pattern.replace("(?P<secret>", "(?:"))
    return parts


@cache
def _hint() -> Any:
    """One pattern that stops wherever a rule of `likely_rules` could find something."""
    named = (
        rf"""(?i:(?:{NAMES})\\{{0,3}}["'`]?\s{{0,3}}(?:=>|:=|[:=])\s{{0,3}}"""
        r"""(?:\\{0,3}["'`].{4}|[^\s"'`\\,;(){}\[\]<>]{6}))"""
    )
    parts = ["-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY", "PuTTY-User-Key-File-", named]
    for pattern in (*key_patterns(), *HEADERS, URLS, OPTIONS):
        try:
            compiled(pattern)
        except PatternBad:
            continue
        parts.append(pattern.replace("(?P<secret>", "(?:"))
    return compiled("|".join(f"(?:{part})" for part in parts), MEMORY_BYTES)
