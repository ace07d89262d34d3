"""What is masked: the rules that come with SparkWeb, and an owner's own patterns.

Every pattern runs in RE2, whose time is linear in the text: no pattern, however written, hangs a page.
No Django here.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import re2

from transcripts_app.redaction.detectors import key_patterns

MEMORY_BYTES = 64 * 2**20
OWN_MEMORY_BYTES = 8 * 2**20
OWN_MOST = 30
OWN_CHARACTERS = 500
NAME_CHARACTERS = 40
Check = Callable[[Any], bool]


class PatternBad(ValueError):
    """A pattern that is not taken; the sentence says why."""


@dataclass(frozen=True)
class Look:
    """One pattern. What is masked is its group `secret`, else its first long group, else all of it."""

    pattern: Any
    check: Check | None = None

    def spans(self, data: bytes) -> Iterable[tuple[int, int]]:
        """Where it finds something to mask, in bytes."""
        for match in self.pattern.finditer(data):
            if self.check is None or self.check(match):
                start, end = _secret_span(match)
                if start < end:
                    yield start, end


@dataclass(frozen=True)
class Rule:
    """Things of one sort. `word` stands in their placeholders: [key 1]."""

    name: str
    label: str
    word: str
    looks: tuple[Look, ...]
    fold: bool = False  # upper and lower case are one value


NAMES = (
    r"passw(?:or)?d|passphrase|passcode|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|"
    r"secret[_-]?key|credentials?|auth"
)
_TO = r"""\s{0,3}(?:=>|:=|[:=])\s{0,3}"""
_NAMED = rf"""(?i)(?P<name>{NAMES})\\{{0,3}}["'`]?{_TO}"""
PASSWORDS = (
    # password = "…"; '…'; and the same inside JSON inside a text: \"password\": \"…\"
    _NAMED + r"""["](?P<secret>(?:[^"\\\r\n]|\\.){4,500})["]""",
    _NAMED + r"""['`](?P<secret>(?:[^'`\\\r\n]|\\.){4,500})['`]""",
    _NAMED + r"""\\{1,3}["'](?P<secret>[^"'\\\r\n]{4,500})\\{1,3}["']""",
)
# PASSWORD=… as in .env files and shells, password: hunter22 as in YAML.
UNQUOTED = _NAMED + r"""(?P<secret>[^\s"'`\\,;(){}\[\]<>]{6,500})(?P<after>[(\[.]?)"""
HEADERS = (
    r"""(?i)\b(?:authorization|x-api-key|set-cookie|cookie)\\{0,3}["']?\s*:\s*\\{0,3}["']?"""
    r"""(?P<secret>[^\r\n"'\\]{6,900})""",
    r"""(?i)\b(?:bearer|basic)\s+(?P<secret>[A-Za-z0-9+/=._~-]{12,})""",
)
URLS = r"""\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/@:'"<>\\]{0,200}:(?P<secret>[^\s/@'"<>\\]{1,500})@"""
OPTIONS = (
    r"""(?i)--?(?:[a-z-]{0,20}(?:password|passwd|passphrase|secret|token|api-key|access-key))(?:=|\s+)"""
    r"""(?P<secret>[^\s"'`\\-][^\s"'`\\]{3,500})"""
)
PRIVATE_KEYS = (
    r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
    # Cut off before its end: the lines of base64 that follow, also with line numbers before them.
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?:\\n|\\r|\s|\d+→)*[A-Za-z0-9+/=]{16,})*"
    r"(?:(?:\\n|\\r|\s|\d+→)*[A-Za-z0-9+/=]{1,76})?",
    r"PuTTY-User-Key-File-\d:(?:[^\n]*\n){1,80}?Private-MAC: [0-9a-f]+",
)
EMAILS = r"[\pL\pN._%+-]{1,64}@[\pL\pN.-]{1,200}\.\pL{2,24}"
PATHS = (
    r"""/(?:home|Users)/(?P<secret>[^/\s"'`\\:,;<>|)\]]{1,64})""",
    r"""(?i)\b[A-Z]:[\\/]{1,4}Users[\\/]{1,4}(?P<secret>[^\\/\s"'`:,;<>|)\]]{1,64})""",
    r"""(?:^|[/\s"'=(])-(?:home|Users)-(?P<secret>[A-Za-z0-9]{1,64})""",
)
ADDRESSES = (
    r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b",
    r"(?i)\b[0-9a-f]{0,4}(?::{1,2}[0-9a-f]{1,4}){1,7}\b",
    r"(?i)\b[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}\b",
)
RANDOM = r"[A-Za-z0-9+/=_-]{24,}"
_PICTURES = (b".png", b".jpg", b".jpeg", b".gif", b".svg", b".webp")
_NO_SECRET = re.compile(
    rb"(?i)(?:\*+|x+|\.+|none|null|true|false|string|str|undefined|required|optional|changeme|"
    rb"\[[a-z ]{2,20}(?: \d+)?\]?|[$<{%].*|process\.env.*|os\.environ.*)"
)
_GROUP = re.compile(r"\(\?P<[a-z_]+>")
_IDS = (b"msg_", b"toolu_", b"req_", b"srvtoolu_", b"mcptoolu_")
_UUID = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_OPEN = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("0.0.0.0"), ipaddress.ip_address("::1"))  # noqa: S104


def _secret_span(match: Any) -> tuple[int, int]:
    names = match.re.groupindex
    if "secret" in names:
        return match.span(names["secret"])
    for group in range(1, match.re.groups + 1):
        if match.group(group) and len(match.group(group)) >= 16:
            return match.span(group)
    return match.span()


def _value_is_secret(match: Any) -> bool:
    return _NO_SECRET.fullmatch(match.group("secret")) is None


def _unquoted_is_secret(match: Any) -> bool:
    """Code says `token = next(tokens)` all day; a value in plain view has digits, or a name in capitals."""
    name, value = match.group("name"), match.group("secret")
    if _NO_SECRET.fullmatch(value) or match.group("after"):
        return False
    mixed = any(letter in b"0123456789" for letter in value) and any(chr(one).isalpha() for one in value)
    return name.isupper() or (mixed and len(value) >= 8)


def _option_is_secret(match: Any) -> bool:
    value = match.group("secret")
    return _NO_SECRET.fullmatch(value) is None and not value.isupper() and len(value) >= 4


def _bearer_is_secret(match: Any) -> bool:
    value = match.group("secret")
    return _NO_SECRET.fullmatch(value) is None and (
        len(value) >= 24 or any(one in b"0123456789=+/_" for one in value)
    )


def _email_is_one(match: Any) -> bool:
    return not match.group().lower().endswith(_PICTURES)


def _user_is_one(match: Any) -> bool:
    return match.group("secret").lower() not in (b"user", b"shared", b"public") and not _NO_SECRET.fullmatch(
        match.group("secret")
    )


def _address_is_one(match: Any) -> bool:
    try:
        return ipaddress.ip_address(match.group().decode()) not in _OPEN
    except ValueError:
        return False


def _is_random(match: Any) -> bool:
    """As detect-secrets judges: more than 4.5 bits a letter, 3 for hexadecimal."""
    value = match.group()
    if value.startswith(_IDS) or _UUID.fullmatch(value.lower()) or not any(48 <= one <= 57 for one in value):
        return False
    hexadecimal = re.fullmatch(rb"[0-9a-fA-F]+", value) is not None
    return entropy(value) > (3.0 if hexadecimal else 4.5)


def entropy(data: bytes) -> float:
    """Shannon's entropy in bits a letter."""
    return -sum(count / len(data) * math.log2(count / len(data)) for count in Counter(data).values())


def compiled(pattern: str, memory_bytes: int = MEMORY_BYTES) -> Any:
    """Compile for RE2. Raises PatternBad with RE2's reason."""
    options = re2.Options()
    options.max_mem, options.log_errors = memory_bytes, False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        raise PatternBad(f"RE2 does not take it: {reason}") from None


@cache
def built_in() -> dict[str, Rule]:
    """The rules that come with SparkWeb, by name, the gravest first."""
    keys = []
    for pattern in key_patterns():
        try:
            keys.append(Look(compiled(pattern)))
        except PatternBad:
            continue
    passwords = [Look(compiled(one), _value_is_secret) for one in PASSWORDS]
    passwords += [
        Look(compiled(UNQUOTED), _unquoted_is_secret),
        Look(compiled(HEADERS[0]), _value_is_secret),
        Look(compiled(HEADERS[1]), _bearer_is_secret),
        Look(compiled(URLS), _value_is_secret),
        Look(compiled(OPTIONS), _option_is_secret),
    ]
    rules = (
        Rule("private_keys", "Private keys", "private key", _looks(PRIVATE_KEYS)),
        Rule("keys", "Keys and tokens of services", "key", tuple(keys)),
        Rule("passwords", "Passwords and whatever is named a secret", "password", tuple(passwords)),
        Rule("emails", "E-mail addresses", "email", _looks((EMAILS,), _email_is_one), fold=True),
        Rule("paths", "User names in home folders", "user", _looks(PATHS, _user_is_one)),
        Rule("addresses", "IP and hardware addresses", "address", (
            *_looks(ADDRESSES[:2], _address_is_one), *_looks(ADDRESSES[2:])), fold=True),
        Rule("random", "Long random texts, commit ids too", "random", _looks((RANDOM,), _is_random)),
    )  # fmt: skip
    return {rule.name: rule for rule in rules}


def _looks(patterns: Sequence[str], check: Check | None = None) -> tuple[Look, ...]:
    return tuple(Look(compiled(pattern), check) for pattern in patterns)


LIKELY = ("private_keys", "keys", "passwords")
SHARING = (*LIKELY, "emails", "paths", "addresses")
ALL = (*SHARING, "random")


def own_rule(name: str, pattern: str) -> Rule:
    """Return a rule of an owner's pattern. Raises PatternBad."""
    if not name.strip() or len(name) > NAME_CHARACTERS or not re.fullmatch(r"[\w .-]+", name):
        raise PatternBad(f"Its name needs 1 to {NAME_CHARACTERS} letters, digits, spaces, dots or dashes")
    if not pattern or len(pattern) > OWN_CHARACTERS or "\0" in pattern:
        raise PatternBad(f"It needs 1 to {OWN_CHARACTERS} characters")
    one = compiled(pattern, OWN_MEMORY_BYTES)
    if one.search(b"") or one.search(b"a b"[1:2]):
        raise PatternBad("It also finds nothing at all, or a single space; ask for at least one letter")
    word = re.sub(r"[^\w -]", "", name.strip()).lower() or "own"
    return Rule(f"own:{name.strip()}", name.strip(), word, (Look(one),))


class Rules:
    """Rules that are applied together."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._hint: Any = None

    def may_find(self, data: bytes) -> bool:
        """Whether any pattern stops in `data`: one pass, and no for most texts."""
        if self._hint is None:
            parts = [_GROUP.sub("(?:", look.pattern.pattern) for rule in self.rules for look in rule.looks]
            try:
                self._hint = compiled("|".join(f"(?:{part})" for part in parts))
            except PatternBad:  # too large together
                self._hint = False
        return bool(self.rules) and (self._hint is False or self._hint.search(data) is not None)

    @classmethod
    def named(cls, names: Iterable[str], own: Iterable[tuple[str, str]] = ()) -> Rules:
        """Return rules by name, with own patterns (name, pattern). Raises PatternBad, KeyError."""
        known = built_in()
        wanted = set(names)
        if unknown := wanted - known.keys():
            raise KeyError(f"there is no rule {sorted(unknown)[0]!r}")
        return cls(
            (*(rule for rule in known.values() if rule.name in wanted), *(own_rule(*pair) for pair in own))
        )

    def has(self, name: str) -> bool:
        return any(rule.name == name for rule in self.rules)


@cache
def likely_rules() -> Rules:
    """Keys, private keys, passwords: what nobody shows on purpose."""
    return Rules.named(LIKELY)
