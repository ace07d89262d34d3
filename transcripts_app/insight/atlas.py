"""Errors grouped by what they say, whatever file, number or id they say it of. No Django here."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

BUCKETS = 24
EXAMPLE_MOST = 300
NORMAL_MOST = 200

ANSI = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]")
QUOTED = re.compile(
    r"""
    (?P<url>\b[a-z][a-z0-9+.-]{1,10}://[^\s"'<>]{1,300})
  | (?P<text>"[^"\n]{0,300}" | `[^`\n]{0,300}` | (?<!\w)'[^'\n]{0,300}'(?!\w) | “[^”\n]{0,300}”)
    """,
    re.VERBOSE,
)
# Within one word, the longest thing first. Each is bounded: nothing here backtracks over a hostile text.
FOLDED = re.compile(
    r"""
    (?P<id>\b(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}
      | (?:toolu|msg|req|call|agent)_[A-Za-z0-9]{4,64}
      | 0x[0-9a-fA-F]{1,40} | (?=[0-9a-f]{0,40}[0-9])(?=[0-9a-f]{0,40}[a-f])[0-9a-f]{7,64})\b)
  | (?P<path>(?:~|\.{1,2})?(?:/[\w.@+~%\#-]{1,200}){1,40}/? | [A-Za-z]:\\[^\s"']{1,300}
      | \b[\w.@+-]{1,100}(?:/[\w.@+-]{1,100}){1,40} | \b[\w-]{1,80}\.(?:py|js|ts|tsx|jsx|go|rs|c|h|cpp|java|rb
      | md|txt|json|ya?ml|toml|html|css|sh|sql|lock|cfg|ini|log|ipynb|csv)\b)
  | (?P<n>[-+]?\d[\d.,:_]{0,60}(?:ms|s|m|h|kB|KB|MB|GB|KiB|MiB|GiB|%)?)
    """,
    re.VERBOSE,
)
MARKED = re.compile(r"[\d/\\.]")  # a word without any of these has nothing to fold


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed tool call (`kind` tool) or error of the API (`kind` api)."""

    kind: str
    id: int  # of the call, or of the record
    record: int
    session: str  # key
    project: str  # key
    tool: str
    model: str
    at_ms: int | None
    message: str


@dataclass(slots=True)
class Group:
    """Failures that say the same. `trend`: how many in each of BUCKETS equal spans."""

    key: str
    kind: str
    message: str
    example: str
    count: int = 0
    sessions: set[str] = field(default_factory=set)
    first_ms: int | None = None
    last_ms: int | None = None
    tools: Counter[str] = field(default_factory=Counter)
    projects: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    trend: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    newest: list[Failure] = field(default_factory=list)


@lru_cache(maxsize=65536)
def message_normal(text: str) -> str:
    """Return a message with paths, numbers, ids, addresses and quoted texts folded."""
    given = ANSI.sub("", text[:1000]) if "\x1b" in text else text[:1000]
    words = QUOTED.sub(_fold, given).split()
    folded = [FOLDED.sub(_fold, word) if MARKED.search(word) else word for word in words]
    return " ".join(folded)[:NORMAL_MOST] or "(no message)"


def _fold(match: re.Match[str]) -> str:
    return f"‹{match.lastgroup}›"


def group_key(kind: str, normal: str) -> str:
    """Return what names a group in an address."""
    return hashlib.blake2b(f"{kind}\0{normal}".encode(errors="replace"), digest_size=8).hexdigest()


def grouped(failures: Iterable[Failure], start_ms: int, end_ms: int, newest: int = 20) -> list[Group]:
    """Return groups, the largest first. The trend runs from `start_ms` to `end_ms`."""
    groups: dict[tuple[str, str], Group] = {}
    for one in failures:
        normal = message_normal(one.message)
        group = groups.get((one.kind, normal))
        if group is None:
            group = Group(group_key(one.kind, normal), one.kind, normal, one.message[:EXAMPLE_MOST])
            groups[one.kind, normal] = group
        _add(group, one, start_ms, end_ms)
    for group in groups.values():
        group.newest.sort(key=lambda one: (one.at_ms or 0, one.id), reverse=True)
        del group.newest[newest:]
    return sorted(groups.values(), key=lambda group: (-group.count, -(group.last_ms or 0), group.message))


def _add(group: Group, one: Failure, start_ms: int, end_ms: int) -> None:
    group.count += 1
    group.sessions.add(one.session)
    group.tools[one.tool] += bool(one.tool)
    group.projects[one.project] += 1
    group.models[one.model] += bool(one.model)
    group.newest.append(one)
    if one.at_ms is None:
        return
    group.first_ms = one.at_ms if group.first_ms is None else min(group.first_ms, one.at_ms)
    group.last_ms = one.at_ms if group.last_ms is None else max(group.last_ms, one.at_ms)
    if start_ms <= one.at_ms <= end_ms:
        group.trend[min(BUCKETS - 1, (one.at_ms - start_ms) * BUCKETS // max(1, end_ms - start_ms))] += 1
