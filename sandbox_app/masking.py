"""Take secrets out of arguments before they are shown or recorded. Pure but for the owner's settings.

Two kinds of rules. By name: a value whose name says that it is secret (password, api_key, Authorization,
cookies) goes whole. By look: keys of known services, tokens, private keys, and addresses with a password
are cut out of any text, also out of code and commands. What is left is bounded, so that a record of it is.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MASKED = "[masked]"
TEXT_MOST_CHARACTERS = 16_384
ITEMS_MOST = 1_000
NODES_MOST = 20_000
CHARACTERS_MOST = 131_072
DEPTH_MOST = 32
# Text beyond the limit that is looked at too, so that no secret is cut in half and shown.
BORDER_CHARACTERS = 8_192

SECRET_WORDS = frozenset(
    ("password", "passwd", "passphrase", "pwd", "passcode", "secret", "secrets", "token", "apikey",
     "authorization", "auth", "bearer", "cookie", "cookies", "credential", "credentials", "otp")
)  # fmt: skip
SECRET_PAIRS = frozenset(
    [("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("signing", "key"),
     ("encryption", "key"), ("session", "key"), ("ssh", "key"), ("account", "key"), ("client", "key")]
)  # fmt: skip
# token_count, max_token and the like are figures about tokens.
FIGURE_WORDS = frozenset(
    ("count", "counts", "limit", "budget", "max", "min", "usage", "length", "type", "name", "id", "ids")
)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAME = (
    r"(?:[\w.-]{0,32}?(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|"
    r"authorization|credentials?|cookie))"
)
_LOOKS = (
    re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?:(?!-----END).){0,20000}"
               r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----)?", re.DOTALL),
    re.compile(r"\bsw_[A-Za-z0-9_-]{32,}|\bsparkweb-node-key-1:[A-Za-z0-9+/=_-]+"),  # SparkWeb's own
    re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}"),  # OpenAI, Anthropic and those that copied them
    re.compile(r"\b(?:sk|pk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}"),  # Stripe
    re.compile(r"\bhf_[A-Za-z0-9]{16,}"),
    re.compile(r"\bnvapi-[A-Za-z0-9_-]{16,}"),
    re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,})"),
    re.compile(r"\bglpat-[A-Za-z0-9_-]{16,}"),
    re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    re.compile(r"\b(?:npm|dop|pypi)[_-][A-Za-z0-9_-]{30,}"),
    re.compile(r"\bAIza[A-Za-z0-9_-]{30,}"),
    re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"),  # JSON Web Token
)  # fmt: skip
# Each keeps what stands before the secret.
_BEFORE = (
    re.compile(r"(?i)(\b(?:bearer|basic|digest)\s+)(?=\S*[0-9=+/_]|\S{24})[A-Za-z0-9+/=._~-]{8,}"),
    re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{1,20}://[^\s/@:'\"<>]{0,256}:)[^\s/@'\"<>]{1,512}(?=@)"),
    re.compile(r"(?i)([?&;]" + _NAME + r"=)[^\s&#'\"]+"),
    re.compile(r"(?i)((?:^|(?<=[\s'\"]))--?" + _NAME + r"(?:=|\s+))[^\s'\"-][^\s'\"]*"),
    re.compile(
        r"(\b(?:[A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY))=)[^\s'\"]+"
    ),
    re.compile(r"(?im)(\b(?:set-)?cookie:\s*|\b(?:proxy-)?authorization:\s*|\bx-api-key:\s*)[^\r\n'\"]+"),
)
# password = "…", 'token': '…', also within JSON within a text (\"token\": \"…\"), also cut off.
_QUOTED = re.compile(
    r"(?i)(\b"
    + _NAME
    + r"\\{0,2}['\"]?\s{0,4}(?::|=>?)\s{0,4})(?P<q>\\{0,2}['\"]).{1,4096}?(?:(?<!\\)(?P=q)|$)"
)


@dataclass(frozen=True)
class Rules:
    """What an owner masks besides: names (case does not count) and what a pattern finds in any text."""

    names: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None


def rules_make(names: Iterable[str], pattern: str) -> Rules:
    """Return the rules of two settings. Raises ValueError for a pattern that is none."""
    try:
        compiled = re.compile(pattern) if pattern else None
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return Rules(frozenset(_flat(name) for name in names), compiled)


@dataclass
class _Room:
    """How many values and characters may still be looked at."""

    left: int = NODES_MOST
    characters: int = CHARACTERS_MOST

    def text(self, text: str, rules: Rules) -> str:
        if self.characters <= 0:
            return f"… [{len(text)} characters]"
        self.characters -= min(len(text), TEXT_MOST_CHARACTERS + BORDER_CHARACTERS)
        return mask_text(text, rules)


def mask(arguments: Any, rules: Rules | None = None) -> dict[str, Any]:
    """Return `arguments` as they may be shown and recorded: secrets masked, long parts cut with a note.

    The result is new, made of JSON's types, and bounded: 16,384 characters of each text and 131,072
    in all, 1,000 items of each list, 20,000 values, 32 levels. What is no object stands under
    "value". Without `rules` the owner's settings hold.
    """
    rules = owner_rules() if rules is None else rules
    masked = _value(arguments, rules, 0, _Room())
    return masked if isinstance(masked, dict) else {"value": masked}


def owner_rules() -> Rules:
    """Return what SPARKWEB_MASK_NAMES and SPARKWEB_MASK_PATTERN say."""
    from django.conf import settings

    rules: Rules = settings.MASK_RULES
    return rules


def mask_text(text: str, rules: Rules) -> str:
    """Return `text` without what looks like a secret, cut to 16,384 characters."""
    shown = text[: TEXT_MOST_CHARACTERS + BORDER_CHARACTERS]
    for look in _LOOKS:
        shown = look.sub(MASKED, shown)
    for before in _BEFORE:
        shown = before.sub(r"\1" + MASKED, shown)
    shown = _QUOTED.sub(rf"\1\g<q>{MASKED}\g<q>", shown)
    if rules.pattern is not None:
        shown = rules.pattern.sub(MASKED, shown)
    if len(text) <= TEXT_MOST_CHARACTERS:
        return shown
    # The end of what was looked at may hold half a secret that nothing recognised.
    shown = shown[: min(TEXT_MOST_CHARACTERS, max(0, len(shown) - BORDER_CHARACTERS // 2))]
    return f"{shown}… [{len(text)} characters in all]"


def name_is_secret(name: str, rules: Rules) -> bool:
    """Whether the name of a value says that it is secret."""
    if _flat(name) in rules.names:
        return True
    words = [word.lower() for word in _WORD.findall(name[:200])]
    if any(pair in SECRET_PAIRS for pair in itertools.pairwise(words)):
        return True
    found = SECRET_WORDS.intersection(words)
    return bool(found) and not (found <= {"token", "auth"} and FIGURE_WORDS.intersection(words))


def _flat(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _value(value: Any, rules: Rules, depth: int, room: _Room) -> Any:
    room.left -= 1
    if room.left < 0:
        return "… [more values than are recorded]"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return room.text(value, rules)
    if isinstance(value, dict | list | tuple) and depth >= DEPTH_MOST:
        return "… [nested too deep]"
    if isinstance(value, dict):
        return _object(value, rules, depth, room)
    if isinstance(value, list | tuple):
        return _list(list(value), rules, depth, room)
    return room.text(str(value), rules)


def _object(value: dict[Any, Any], rules: Rules, depth: int, room: _Room) -> dict[str, Any]:
    masked: dict[str, Any] = {}
    named = _pair_name(value)
    for place, (key, inner) in enumerate(value.items()):
        if place >= ITEMS_MOST or room.left <= 0:
            masked["…"] = f"[{len(value) - place} more]"
            break
        name = room.text(str(key), rules)
        secret = name_is_secret(str(key), rules) or (
            named is not None and key != named and name_is_secret(str(value[named]), rules)
        )
        masked[name] = MASKED if secret and not _empty(inner) else _value(inner, rules, depth + 1, room)
    return masked


def _pair_name(value: dict[Any, Any]) -> Any:
    """Return the key of the name in {"name": "Authorization", "value": …}, or None."""
    if len(value) != 2:
        return None
    return next((key for key in ("name", "key", "header") if isinstance(value.get(key), str)), None)


def _list(value: list[Any], rules: Rules, depth: int, room: _Room) -> list[Any]:
    masked: list[Any] = []
    for place, inner in enumerate(value):
        if place >= ITEMS_MOST or room.left <= 0:
            masked.append(f"… [{len(value) - place} more]")
            break
        secret = place > 0 and _announces(value[place - 1], len(value), rules) and not _empty(inner)
        masked.append(MASKED if secret else _value(inner, rules, depth + 1, room))
    return masked


def _announces(before: Any, length: int, rules: Rules) -> bool:
    """Whether a secret follows, as in ["--password", "…"] and ["Authorization", "…"]."""
    return (
        isinstance(before, str)
        and len(before) <= 200
        and (length == 2 or before.startswith("-"))
        and "=" not in before
        and name_is_secret(before, rules)
    )


def _empty(value: Any) -> bool:
    """None, yes and no, and "" are no secrets."""
    return value is None or isinstance(value, bool) or value == ""
