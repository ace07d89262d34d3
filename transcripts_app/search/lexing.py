"""From what somebody typed to tokens with their positions. No Django here, and no text is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FILTER = re.compile(r"([A-Za-z]{2,12}):(?=[^\s])")
_QUOTES = {'"': '"', "\u201c": "\u201d"}


@dataclass(frozen=True)
class Token:
    """`kind`: open, close, or, and, not, phrase, word, filter. `at` counts characters from 1."""

    kind: str
    text: str
    at: int
    name: str = ""  # of a filter
    is_quoted: bool = False


def tokens_of(text: str) -> Iterator[Token]:
    """Cut a query. `-` before a word, phrase, filter or group is `not`; `foo(1)` is one word."""
    at, depth = 0, 0
    while at < len(text):
        letter = text[at]
        if letter.isspace():
            at += 1
        elif letter == "(":
            depth += 1
            yield Token("open", "(", at + 1)
            at += 1
        elif letter == ")" and depth:
            depth -= 1
            yield Token("close", ")", at + 1)
            at += 1
        elif letter == "-" and _stands_before(text, at + 1):
            yield Token("not", "-", at + 1)
            at += 1
        elif letter in _QUOTES:
            token, at = _quoted(text, at)
            yield token
        else:
            token, at = _word(text, at, depth)
            yield token


def _stands_before(text: str, at: int) -> bool:
    """Whether something to leave out follows: `-word`, `-"a b"`, `-(a b)`; `--flag` and `->` are words."""
    return at < len(text) and (text[at].isalnum() or text[at] in '("_./\u201c')


def _quoted(text: str, at: int) -> tuple[Token, int]:
    """A quote that is not closed reaches to the end: somebody is typing."""
    end = text.find(_QUOTES[text[at]], at + 1)
    end = len(text) if end < 0 else end
    return Token("phrase", text[at + 1 : end], at + 1), end + 1


def _word(text: str, at: int, depth: int) -> tuple[Token, int]:
    found = _FILTER.match(text, at)
    if found and text[found.end()] in _QUOTES:
        value, end = _quoted(text, found.end())
        return Token("filter", value.text, at + 1, found[1].lower(), is_quoted=True), end
    end = _word_end(text, at, depth)
    word = text[at:end]
    if word in ("OR", "AND", "NOT"):
        return Token(word.lower(), word, at + 1), end
    if found and not text.startswith(("//", ":"), found.end()):
        return Token("filter", text[found.end() : end], at + 1, found[1].lower()), end
    if word.endswith(":") and word[:-1].isalpha() and word.isascii():
        return Token("filter", "", at + 1, word[:-1].lower()), end
    return Token("word", word, at + 1), end


def _word_end(text: str, at: int, depth: int) -> int:
    """A word ends at white space, and at the `)` that closes a group."""
    inner = 0
    while at < len(text) and not text[at].isspace():
        if text[at] == "(":
            inner += 1
        elif text[at] == ")":
            if not inner and depth:
                break
            inner -= 1
        at += 1
    return at
