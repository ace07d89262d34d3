"""Masking texts and JSON values. The same value keeps its number as long as the same `Numbers` are used.

No Django here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from transcripts_app.redaction.rules import Rule, Rules

ROUNDS = 4
DEPTH_MOST = 400
ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
IMAGE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"%PDF")
SECRET_WORDS = frozenset(
    ("password", "passwd", "passphrase", "passcode", "pwd", "secret", "token", "apikey", "authorization",
     "cookie", "credential", "credentials")
)  # fmt: skip
SECRET_PAIRS = frozenset(
    [("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("client", "key")]
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
TOO_DEEP = "[nested too deep to be looked at]"


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was masked: by which rule, and what stands there now."""

    rule: str
    placeholder: str


class Numbers:
    """Which number a value has; values are kept as digests alone."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self.last: Counter[str] = Counter()  # how many different values, by a rule's word

    def placeholder(self, rule: Rule, value: bytes) -> str:
        """`[email 1]`, the same for the same value."""
        value = value.lower() if rule.fold else value
        digest = hashlib.blake2b(rule.word.encode() + b"\0" + value, digest_size=16).digest()
        number = self._known.get(digest)
        if number is None:
            self.last[rule.word] += 1
            number = self._known[digest] = self.last[rule.word]
        return f"[{rule.word} {number}]"


def redact(text: str, rules: Rules, numbers: Numbers | None = None) -> tuple[str, list[Hit]]:
    """Return the text with placeholders for what the rules find, and what they found.

    Applied to its own result it finds nothing more. Colour codes are taken out of a text whose secrets
    they would hide.
    """
    numbers = numbers or Numbers()
    if "\x1b" in text:
        plain = ANSI.sub("", text)
        hits = _rounds(plain, rules, Numbers())[1]
        if hits and len(hits) > len(_rounds(text, rules, Numbers())[1]):
            return _rounds(plain, rules, numbers)
    return _rounds(text, rules, numbers)


def _rounds(text: str, rules: Rules, numbers: Numbers) -> tuple[str, list[Hit]]:
    hits: list[Hit] = []
    for _ in range(ROUNDS):
        text, found = _once(text, rules, numbers)
        hits += found
        if not found:
            break
    return text, hits


def _once(text: str, rules: Rules, numbers: Numbers) -> tuple[str, list[Hit]]:
    data = text.encode(errors="surrogatepass")
    if not rules.may_find(data):
        return text, []
    spans: list[tuple[int, int, int]] = []
    for rank, rule in enumerate(rules.rules):
        for look in rule.looks:
            spans.extend((start, end, rank) for start, end in look.spans(data))
    if not spans:
        return text, []
    pieces: list[str] = []
    hits: list[Hit] = []
    at = 0
    for start, end, rank in _merged(spans):
        rule = rules.rules[rank]
        placeholder = numbers.placeholder(rule, data[start:end])
        pieces.append(data[at:start].decode(errors="surrogatepass"))
        pieces.append(placeholder)
        hits.append(Hit(rule.name, placeholder))
        at = end
    pieces.append(data[at:].decode(errors="surrogatepass"))
    return "".join(pieces), hits


def _merged(spans: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Spans that touch each other become one, of the gravest rule: no end of a secret is left over."""
    merged: list[tuple[int, int, int]] = []
    for start, end, rank in sorted(spans):
        if merged and start < merged[-1][1]:
            before = merged[-1]
            merged[-1] = (before[0], max(before[1], end), min(before[2], rank))
        else:
            merged.append((start, end, rank))
    return merged


class Redactor:
    """Masks texts and values of one export, page or preview, and counts by rule."""

    def __init__(self, rules: Rules, numbers: Numbers | None = None) -> None:
        self.rules, self.numbers = rules, numbers or Numbers()
        self.counts: Counter[str] = Counter()
        self._password = next((rule for rule in rules.rules if rule.name == "passwords"), None)
        self._pictures = Rules(rule for rule in rules.rules if rule.name != "random")

    def text(self, text: str) -> str:
        """Mask one text."""
        masked, hits = redact(text, self.rules, self.numbers)
        self.counts.update(hit.rule for hit in hits)
        return masked

    def record(self, record: dict[str, Any]) -> dict[str, Any]:
        """Mask every text and key of a record; it is not changed, a new one is returned."""
        masked = self.value(record)
        assert isinstance(masked, dict)
        return masked

    def value(self, value: Any, depth: int = 0) -> Any:
        """Mask every text and key inside a JSON value."""
        if isinstance(value, str):
            return self.text(value) if value else value
        if isinstance(value, list):
            return TOO_DEEP if depth >= DEPTH_MOST else [self.value(one, depth + 1) for one in value]
        if isinstance(value, dict):
            return {} if depth >= DEPTH_MOST else self._object(value, depth)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) >= 10**6:
            text = str(value)
            masked = self.text(text)
            return value if masked == text else masked
        return value

    def _object(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        masked: dict[str, Any] = {}
        for key, inner in value.items():
            name = self.text(key)
            while name in masked:
                name += "_"
            if isinstance(inner, str) and self._is_named_secret(key, inner, value):
                masked[name] = self._whole(inner)
            elif isinstance(inner, str) and key in ("data", "base64") and _is_picture(inner):
                masked[name], hits = redact(inner, self._pictures, self.numbers)
                self.counts.update(hit.rule for hit in hits)
            else:
                masked[name] = self.value(inner, depth + 1)
        return masked

    def _is_named_secret(self, key: str, inner: str, value: dict[str, Any]) -> bool:
        if self._password is None or not 3 < len(inner) <= 4096 or inner.startswith("["):
            return False
        named = value.get("name") if key == "value" and len(value) == 2 else key
        return isinstance(named, str) and name_is_secret(named)

    def _whole(self, inner: str) -> str:
        assert self._password is not None
        before = self.counts.total()
        masked = self.text(inner)
        if self.counts.total() > before:
            return masked if masked.startswith("[") and masked.endswith("]") else self._placeholder(inner)
        self.counts[self._password.name] += 1
        return self._placeholder(inner)

    def _placeholder(self, inner: str) -> str:
        assert self._password is not None
        return self.numbers.placeholder(self._password, inner.encode(errors="surrogatepass"))


def name_is_secret(name: str) -> bool:
    """Whether the name of a value says that it is secret: password, apiKey, DB_PASSWORD, Authorization."""
    words = [word.lower() for word in _WORD.findall(name[-80:])]
    return bool(words) and (words[-1] in SECRET_WORDS or tuple(words[-2:]) in SECRET_PAIRS)


def _is_picture(text: str) -> bool:
    """Whether this is base64 of a picture or PDF, whose letters mean nothing."""
    if len(text) < 64:
        return False
    try:
        start = base64.b64decode(text[:64], validate=True)
    except (binascii.Error, ValueError):
        return False
    return start.startswith(IMAGE_STARTS) and re.fullmatch(r"[A-Za-z0-9+/\s]+=*\s*", text) is not None
