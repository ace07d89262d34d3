"""JSONPath, the usual part of RFC 9535: names, indexes, slices, wildcards, descendants, filters.

Read by hand and walked over the data; nothing of a query is ever evaluated as code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

FOUND_MOST = 100_000
LENGTH_MOST = 2000
TOKEN = re.compile(
    r"\s*(?:(?P<number>-?\d+(?:\.\d+)?)|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<op>==|!=|<=|>=|&&|\|\||[<>!()])|(?P<word>true|false|null)\b|(?P<path>[@$]))"
)
NUMBERS = re.compile(r"\s*(-?\d*)\s*(?::\s*(-?\d*)\s*(?::\s*(-?\d*)\s*)?)?")
NAME = re.compile(r"[^\W\d][\w-]*")

# From a value and the root of the data: what is found there, or whether it passes a filter.
Selector = Callable[[Any, Any], list[Any]]
Test = Callable[[Any, Any], bool]
Steps = list[tuple[bool, list[Selector]]]


class Invalid(Exception):
    """What is wrong with a query."""


def find(data: Any, query: str) -> list[Any]:
    """Every value that the query names, in order."""
    if len(query) > LENGTH_MOST:
        raise Invalid(f"it has more than {LENGTH_MOST} characters")
    text = query.strip()
    reader = Reader(text if text.startswith("$") else "$" + (text if text[:1] in (".", "[") else "." + text))
    reader.place = 1
    steps = reader.steps()
    if reader.place < len(reader.text):
        raise Invalid(f"{reader.text[reader.place :][:20]!r} at {reader.place + 1} is not understood")
    return walk([data], steps, data)


def walk(values: Any, steps: Steps, root: Any) -> list[Any]:
    """Follow the steps from each of the values."""
    for deep, selectors in steps:
        found = []
        for value in each_below(values) if deep else values:
            for selector in selectors:
                found.extend(selector(value, root))
                if len(found) > FOUND_MOST:
                    raise Invalid(f"it finds more than {FOUND_MOST} values")
        values = found
    return values


def each_below(values: Any) -> Iterator[Any]:
    """The values and everything within them."""
    waiting = list(reversed(values))
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, dict):
            waiting.extend(reversed(list(value.values())))
        elif isinstance(value, list):
            waiting.extend(reversed(value))


class Reader:
    """Reads a query from left to right."""

    def __init__(self, text: str) -> None:
        self.text, self.place, self.depth = text, 0, 0

    def steps(self) -> Steps:
        """A path's steps: whether each goes to all descendants, and what it takes there."""
        found = []
        while self.place < len(self.text) and self.text[self.place] in ".[":
            deep = self.text.startswith("..", self.place)
            self.place += 2 if deep else self.text[self.place] == "."
            found.append((deep, self.step()))
        return found

    def step(self) -> list[Selector]:
        if self.text[self.place : self.place + 1] == "[":
            return self.bracket()
        if self.text[self.place : self.place + 1] == "*":
            self.place += 1
            return [children]
        match = NAME.match(self.text, self.place)
        if match is None:
            raise Invalid(f"a name is expected at {self.place + 1}")
        self.place = match.end()
        return [named(match[0])]

    def bracket(self) -> list[Selector]:
        self.place += 1
        selectors = [self.selector()]
        while self.taken(","):
            selectors.append(self.selector())
        if not self.taken("]"):
            raise Invalid(f"] is expected at {self.place + 1}")
        return selectors

    def taken(self, word: str) -> bool:
        """Whether this word comes next; then it is read."""
        while self.text[self.place : self.place + 1] == " ":
            self.place += 1
        if self.text.startswith(word, self.place):
            self.place += len(word)
            return True
        return False

    def selector(self) -> Selector:
        if self.taken("*"):
            return children
        if self.taken("?"):
            return filtered(self.either())
        token = TOKEN.match(self.text, self.place)
        if token and token["text"]:
            self.place = token.end()
            return named(unquoted(token["text"]))
        match = NUMBERS.match(self.text, self.place)
        if match is None or not match[0].strip():
            raise Invalid(f"an index, a name in quotes, * or ? is expected at {self.place + 1}")
        self.place = match.end()
        if ":" in match[0]:
            return sliced(*(int(part) if part and part != "-" else None for part in match.groups()))
        if not match[1].strip("-"):
            raise Invalid(f"a number is expected at {match.start() + 1}")
        return indexed(int(match[1]))

    # Filters: or, and, not, comparison.

    def either(self) -> Test:
        self.depth += 1
        if self.depth > 50:
            raise Invalid("its filters are nested too deeply")
        parts = [self.both()]
        while self.taken("||"):
            parts.append(self.both())
        self.depth -= 1
        return lambda value, root: any(part(value, root) for part in parts)

    def both(self) -> Test:
        parts = [self.one()]
        while self.taken("&&"):
            parts.append(self.one())
        return lambda value, root: all(part(value, root) for part in parts)

    def one(self) -> Test:
        token = TOKEN.match(self.text, self.place)
        if token and token["op"] == "!":
            self.place = token.end()
            inner = self.one()
            return lambda value, root: not inner(value, root)
        if token and token["op"] == "(":
            self.place = token.end()
            inner = self.either()
            if not self.taken(")"):
                raise Invalid(f") is expected at {self.place + 1}")
            return inner
        left = self.operand()
        token = TOKEN.match(self.text, self.place)
        if not (token and token["op"] in COMPARE):
            return lambda value, root: bool(left(value, root))
        self.place = token.end()
        right, compare = self.operand(), COMPARE[token["op"]]
        return lambda value, root: compare(left(value, root), right(value, root))

    def operand(self) -> Selector:
        """What stands at either side: a list of values that a path finds, or of one literal."""
        token = TOKEN.match(self.text, self.place)
        if token is None or token["op"]:
            raise Invalid(f"a value is expected at {self.place + 1}")
        self.place = token.end()
        if token["path"]:
            steps, at_root = self.steps(), token["path"] == "$"
            return lambda value, root: walk([root if at_root else value], steps, root)
        literal = unquoted(token["text"]) if token["text"] else json.loads(token["number"] or token["word"])
        return lambda value, root: [literal]


def unquoted(text: str) -> str:
    if text[0] == "'":
        text = '"' + text[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'
    try:
        return json.loads(text)
    except ValueError:
        raise Invalid(f"{text[:40]} is no text") from None


def children(value: Any, _root: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def named(name: str) -> Selector:
    return lambda value, root: [value[name]] if isinstance(value, dict) and name in value else []


def indexed(index: int) -> Selector:
    def select(value: Any, _root: Any) -> list[Any]:
        fits = isinstance(value, list) and -len(value) <= index < len(value)
        return [value[index]] if fits else []

    return select


def sliced(start: int | None, stop: int | None, step: int | None) -> Selector:
    if step == 0:
        raise Invalid("a slice needs a step other than 0")
    return lambda value, root: value[start:stop:step] if isinstance(value, list) else []


def filtered(test: Callable[..., bool]) -> Selector:
    return lambda value, root: [child for child in children(value, root) if test(child, root)]


def _compare(test: Callable[..., bool]) -> Callable[[list[Any], list[Any]], bool]:
    def compare(left: list[Any], right: list[Any]) -> bool:
        if not left or not right:
            return False
        first, second = left[0], right[0]
        numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (first, second))
        texts = isinstance(first, str) and isinstance(second, str)
        return (numbers or texts) and test(first, second)

    return compare


def _equal(left: list[Any], right: list[Any]) -> bool:
    return left[:1] == right[:1]


COMPARE = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _compare(lambda a, b: a < b),
    "<=": _compare(lambda a, b: a <= b),
    ">": _compare(lambda a, b: a > b),
    ">=": _compare(lambda a, b: a >= b),
}
