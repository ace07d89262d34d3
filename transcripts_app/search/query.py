"""The query language: from text to a tree that the index can answer. No Django here.

    query := any ; any := all ("OR" all)* ; all := one+
    one := ["-" | "NOT"] (word | "a phrase" | filter | "(" any ")")

Words must all occur; `word*` is a beginning. What cannot be meant is refused with its word and place.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from transcripts_app.format.record import CARRIED
from transcripts_app.search.filters import (
    DATES,
    FILTERS,
    PLACES,
    STATES,
    STATES_INSIDE,
    span_of,
)
from transcripts_app.search.lexing import Token, tokens_of
from transcripts_app.search.words import words_of_text

TEXT_MOST = 1000
PARTS_MOST = 64
DEPTH_MOST = 10
CLOSE = 0.8


class QueryBad(ValueError):
    """The query cannot be meant. `at` is the place of `word`, from 1; `instead` is what may be meant."""

    def __init__(self, sentence: str, *, word: str = "", at: int = 0, instead: str = "") -> None:
        super().__init__(sentence)
        self.word, self.at, self.instead = word, at, instead


@dataclass(frozen=True)
class Words:
    """Words that follow one another; `is_prefix`: the last one is a beginning."""

    words: tuple[str, ...]
    is_prefix: bool = False


@dataclass(frozen=True)
class Facet:
    """A filter that the index answers: `tool:Bash`. One of the values is enough."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Not:
    part: Part


@dataclass(frozen=True)
class Group:
    """Parts that must all hold, or one of which must."""

    parts: tuple[Part, ...]
    is_any: bool = False


Part = Words | Facet | Not | Group


@dataclass(frozen=True)
class Narrow:
    """A filter of the whole search that the index does not answer: `path:*.py`."""

    name: str
    values: tuple[str, ...]
    is_not: bool = False


@dataclass(frozen=True)
class Query:
    """A search. `after_ms` is within, `before_ms` is not; `phrases` are what is marked in the text."""

    text: str
    match: Group = Group(())
    narrow: tuple[Narrow, ...] = ()
    after_ms: int | None = None
    before_ms: int | None = None
    phrases: tuple[Words, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_words(self) -> bool:
        """Whether there is something to rank by."""
        return bool(self.phrases)

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing at all."""
        narrows = self.narrow or self.after_ms is not None or self.before_ms is not None
        return not self.match.parts and not narrows


def query_parse(text: str, now: datetime | None = None) -> Query:
    """Read a query. Raises QueryBad, with a sentence, for what cannot be meant."""
    if len(text) > TEXT_MOST:
        raise QueryBad(f"The query has {len(text):,} characters; {TEXT_MOST:,} are the most.")
    parser = _Parser(list(tokens_of(text)), now or datetime.now(UTC))
    match = parser.any(top=True)
    return Query(
        text, _positive(match), tuple(parser.narrow), parser.after_ms, parser.before_ms,
        tuple(dict.fromkeys(_phrases(match))), tuple(parser.notes),
    )  # fmt: skip


@dataclass
class _Parser:
    tokens: list[Token]
    now: datetime
    place: int = 0
    depth: int = 0
    parts: int = 0
    narrow: list[Narrow] = field(default_factory=list)
    after_ms: int | None = None
    before_ms: int | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def next(self) -> Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def any(self, *, top: bool = False) -> Group:
        """Alternatives. Only without them do filters of the whole search have a meaning."""
        alone = top and not self._has_or()
        sides = [self.all(alone)]
        while (token := self.next) and token.kind == "or":
            self.place += 1
            sides.append(self.all(False))
            if not sides[-1].parts or not sides[-2].parts:
                raise _bad("`OR` stands between two words; one is missing", token)
        return sides[0] if len(sides) == 1 else Group((Group(tuple(sides), is_any=True),))

    def all(self, top: bool) -> Group:
        found: list[Part] = []
        while (token := self.next) and token.kind not in ("or", "close"):
            part = self.one(top)
            if part is not None:
                found.append(part)
        return Group(tuple(found))

    def one(self, top: bool, *, is_not: bool = False) -> Part | None:
        token = self.next
        assert token is not None
        self.place += 1
        self.parts += 1
        if self.parts > PARTS_MOST:
            raise _bad(f"A query has at most {PARTS_MOST} words and filters; this is one more", token)
        if token.kind == "and":
            return None
        if token.kind == "not":
            return self._not(top, token, is_not)
        if token.kind == "open":
            return self._group(token)
        if token.kind == "filter":
            return self._filter(token, top, is_not)
        return self._words(token)

    def _has_or(self) -> bool:
        """Whether an OR stands outside of parentheses."""
        depth = 0
        for token in self.tokens:
            depth += (token.kind == "open") - (token.kind == "close")
            if token.kind == "or" and depth == 0:
                return True
        return False

    def _not(self, top: bool, token: Token, is_not: bool) -> Part | None:
        following = self.next
        if following is None or following.kind in ("or", "close", "and"):
            raise _bad(f"`{token.text}` leaves something out; what is missing", token)
        if is_not or following.kind == "not":
            raise _bad("Twice not: take both away", token)
        part = self.one(top, is_not=True)
        return None if part is None else Not(part)

    def _group(self, token: Token) -> Part | None:
        self.depth += 1
        if self.depth > DEPTH_MOST:
            raise _bad(f"Parentheses may stand {DEPTH_MOST} deep; this is one more", token)
        inside = self.any()
        if (end := self.next) and end.kind == "close":
            self.place += 1
        self.depth -= 1
        if inside.parts:
            return inside
        self.notes.append(f"`()` at {token.at} is empty and was left out.")
        return None

    def _words(self, token: Token) -> Words | None:
        text = token.text
        words = words_of_text(text)
        if not words:
            if text.strip():
                self.notes.append(f"`{text[:40]}` has no letter and no digit, so it was left out.")
            return None
        return Words(tuple(words), is_prefix=token.kind == "word" and text.endswith("*"))

    def _filter(self, token: Token, top: bool, is_not: bool) -> Part | None:
        known = FILTERS.get(token.name)
        if known is None:
            return self._no_filter(token)
        parts = [token.text] if token.is_quoted else token.text.split(",")
        values = tuple(part for part in parts if part.strip())
        if not values:
            raise _bad(f"`{token.name}:` needs a value, as in `{known.example}`", token)
        _values_check(token, values)
        inside = known.inside or (token.name == "is" and set(values) <= set(STATES_INSIDE))
        if inside:
            return Facet(token.name, values)
        if token.name == "is" and set(values) & set(STATES_INSIDE):
            raise _bad("Write each `is:` of its own here, as in `is:error is:warmup`", token)
        if not top:
            raise _bad(
                f"`{token.name}:` narrows the whole search, so it cannot stand inside OR or parentheses",
                token,
            )
        if token.name in DATES:
            self._date(token, is_not)
        else:
            self.narrow.append(Narrow(token.name, values, is_not))
        return None

    def _no_filter(self, token: Token) -> Words | None:
        """A word with a colon is text, unless it looks like a filter misspelt."""
        close = difflib.get_close_matches(token.name, FILTERS, 1, CLOSE)
        if close:
            raise _bad(
                f'Unknown filter `{token.name}:`; did you mean `{close[0]}:`? (Quote it to search for it: '
                f'"{token.name}:{token.text}")',
                token, close[0] + ":",
            )  # fmt: skip
        return self._words(Token("word", f"{token.name}:{token.text}", token.at))

    def _date(self, token: Token, is_not: bool) -> None:
        if is_not:
            other = {"before": "after", "after": "before"}.get(token.name, "before: or after")
            raise _bad(f"A date is not left out: write `{other}:`", token)
        span = span_of(token.text, self.now)
        if span is None or (token.name == "on" and span[0] == span[1]):
            raise _bad(
                f"`{token.text[:40]}` is no date: write 2026, 2026-02, 2026-02-03, today or yesterday"
                + ("" if token.name == "on" else ", or 7d for seven days ago"),
                token,
            )
        if token.name in ("after", "on"):
            self.after_ms = max(span[0], self.after_ms if self.after_ms is not None else span[0])
        if token.name in ("before", "on"):
            end = span[1] if token.name == "on" else span[0]
            self.before_ms = min(end, self.before_ms if self.before_ms is not None else end)


def _values_check(token: Token, values: tuple[str, ...]) -> None:
    """Refuse a value that a filter with fixed values does not have."""
    allowed = {"is": STATES, "has": CARRIED, "in": tuple(PLACES)}.get(token.name)
    for value in values if allowed else ():
        assert allowed
        if value not in allowed:
            close = difflib.get_close_matches(value, allowed, 1, 0.5)
            instead = f"{token.name}:{close[0]}" if close else ""
            meant = f"; did you mean `{instead}`?" if close else ""
            raise _bad(
                f"`{token.name}:` takes {', '.join(allowed)}, not `{value[:40]}`{meant}", token, instead
            )


def _bad(sentence: str, token: Token, instead: str = "") -> QueryBad:
    word = f"{token.name}:{token.text}" if token.name else token.text
    end = "" if sentence.endswith((".", "?", ")")) else "."
    return QueryBad(f"At {token.at}: {sentence}{end}", word=word, at=token.at, instead=instead)


def _positive(group: Group) -> Group:
    """Refuse alternatives that only leave out: the index finds what is there, not what is not."""
    for part in group.parts:
        _check(part)
    return group


def _check(part: Part) -> None:
    if isinstance(part, Not):
        _check(part.part)
    elif isinstance(part, Group):
        if not part.is_any and part.parts and all(isinstance(one, Not) for one in part.parts):
            raise QueryBad("A group, or a side of OR, needs a word to find beside what it leaves out.")
        for one in part.parts:
            _check(one)


def _phrases(part: Part) -> list[Words]:
    """Words to find, without those that are left out."""
    if isinstance(part, Words):
        return [part]
    if isinstance(part, Group):
        return [phrase for one in part.parts for phrase in _phrases(one)]
    return []
