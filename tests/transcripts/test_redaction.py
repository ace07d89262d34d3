"""What is masked, and what is left: rules, numbers, JSON values, and an owner's own patterns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transcripts.secrets_made import secrets
from transcripts_app.redaction.engine import Numbers, Redactor, redact
from transcripts_app.redaction.lines import line_masked
from transcripts_app.redaction.rules import (
    ALL,
    LIKELY,
    SHARING,
    PatternBad,
    Rules,
    built_in,
    likely_rules,
    own_rule,
)
from transcripts_app.redaction.scan import secrets_find

EVERY = Rules.named(ALL)
AWS = "AKIA" + "IOSFODNN7EXAMPLE"


def masked(text: str, rules: Rules = EVERY) -> str:
    return redact(text, rules)[0]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"id {AWS}.", "id [key 1]."),
        ('password = "hun ter2"', 'password = "[password 1]"'),
        ("token: 'abcd1234'", "token: '[password 1]'"),
        ("DB_PASSWORD=hunter", "DB_PASSWORD=[password 1]"),
        ("mysql --password=hunter22 shop", "mysql --password=[password 1] shop"),
        ("Authorization: Bearer abcdef123456789", "Authorization: [password 1]"),
        ("postgres://u:pw@h/db", "postgres://u:[password 1]@h/db"),
        ("ada@example.com, Ada@Example.com, bob@example.com", "[email 1], [email 1], [email 2]"),
        ("/home/ada/shop and -home-ada-shop", "/home/[user 1]/shop and -home-[user 1]-shop"),
        (r"C:\Users\Ada\x and C:\\Users\\Ada\\x", r"C:\Users\[user 1]\x and C:\\Users\\[user 1]\\x"),
        ("10.0.0.7 fe80::1 aa:bb:cc:dd:ee:ff", "[address 1] [address 2] [address 3]"),
        ("AKIA\x1b[1m" + AWS[4:] + "\x1b[0m", "[key 1]"),
        ("é" * 20 + " ada@example.com é", "é" * 20 + " [email 1] é"),
    ],
)
def test_what_is_masked(text: str, left: str) -> None:
    assert masked(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "token = next(tokens)", 'api_key=os.environ["X"]', 'secret = "${SECRET}"', "secret: str = None",
        '"input_tokens":10,"output_tokens":20', "127.0.0.1 and 0.0.0.0", "at 09:00:02 on 2026-12-01",
        "icon@2x.png", "3f0c2a51-0000-4000-8000-1234567890ab", "password: required", "[email 1] and [key 2]",
        "It passes; the token count is 20.", "toolu_01ABCDEFGHIJKLMNOPQRSTUV", "version 2.1.56",
    ],
)  # fmt: skip
def test_what_is_left_as_it_is(text: str) -> None:
    assert masked(text) == text


def test_a_private_key_goes_whole_also_with_line_numbers_and_cut_off() -> None:
    begin, end = "-----BEGIN OPENSSH PRIVATE " + "KEY-----", "-----END OPENSSH PRIVATE " + "KEY-----"
    body = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU\nAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2g\n"
    numbered = f"     1→{begin}\n     2→b3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n     3→{end}\nrest"
    assert masked(f"a\n{begin}\n{body}{end}\nb") == "a\n[private key 1]\nb"
    assert masked(numbered) == "     1→[private key 1]\nrest"
    assert masked(f"a {begin}\n{body}") == "a [private key 1]\n"
    assert "b3Blbn" not in masked(json.dumps({"x": f"{begin}\n{body}{end}"}))


def test_a_value_keeps_its_number_across_texts() -> None:
    numbers = Numbers()
    assert redact("ada@example.com", EVERY, numbers)[0] == "[email 1]"
    assert redact("bob@example.com", EVERY, numbers)[0] == "[email 2]"
    assert redact("to ada@example.com", EVERY, numbers)[0] == "to [email 1]"


def test_values_keys_and_named_values_of_json() -> None:
    record = {
        "password": "correct horse", "count": 3, AWS: [AWS, {"a": None, "b": True}],
        "headers": [{"name": "Authorization", "value": "Basic"}], "dbPassword": "x-y-z", "tokens": 12,
    }  # fmt: skip
    out = Redactor(EVERY).record(record)
    assert "correct" not in json.dumps(out)
    assert AWS not in json.dumps(out)
    assert out["headers"] == [{"name": "Authorization", "value": "[password 2]"}]
    assert (out["count"], out["tokens"], out["[key 1]"][1]) == (3, 12, {"a": None, "b": True})
    assert record["password"] == "correct horse"


def test_a_picture_is_left_and_what_only_looks_like_one_is_not() -> None:
    import base64

    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4).decode()
    block = {"type": "base64", "media_type": "image/png", "data": picture}
    assert Redactor(EVERY).record(block) == block
    false = {"type": "base64", "media_type": "image/png", "data": f"{AWS} " * 4}
    assert AWS not in json.dumps(Redactor(EVERY).record(false))


def test_escapes_hide_nothing() -> None:
    line = ('{"type":"user","message":{"content":"\\u0041KIA' + AWS[4:] + '"}}').encode()
    assert AWS.encode() not in line
    told = json.loads(line_masked(line, Redactor(EVERY)))
    assert told["message"]["content"] == "[key 1]"


@given(secrets(), st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_no_secret_survives_whatever_stands_around_it(made: tuple[str, str], before: str, after: str) -> None:
    secret, text = made
    whole = f"{before}\n{text}\n{after}"
    out = masked(whole)
    assert secret not in out.replace(before, "").replace(after, "")
    assert masked(out) == out


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_any_json_comes_out_as_json_of_the_same_shape(value: Any) -> None:
    out = Redactor(likely_rules()).value(value)
    json.dumps(out)
    assert type(out) is type(value)


@given(st.binary(max_size=300), secrets())
@settings(max_examples=100, deadline=None)
def test_the_scan_at_import_finds_what_pages_mask(noise: bytes, made: tuple[str, str]) -> None:
    _, text = made
    quiet = noise.replace(b"\n", b" ")
    line = json.dumps({"type": "user", "text": text}).encode()
    data = quiet + b"\n" + line + b"\n"
    hits = redact(text, likely_rules())[1]
    found = [start for start, _, _ in secrets_find(data)]
    assert not hits or len(quiet) + 1 in found


def test_own_patterns_are_tried_first() -> None:
    assert masked("see TICKET-12", Rules([own_rule("ticket", r"TICKET-\d+")])) == "see [ticket 1]"
    for pattern in ("(", "", "a*", "(?=x)y", "x" * 501, r"(\w)\1", " ", "a\0b"):
        with pytest.raises(PatternBad):
            own_rule("mine", pattern)
    for name in ("", "x" * 41, "<b>", "a]b"):
        with pytest.raises(PatternBad):
            own_rule(name, "abc")


def test_no_pattern_hangs() -> None:
    """(a+)+$ takes Python's own engine longer than the universe; RE2 answers."""
    rules = Rules([own_rule("evil", r"(a+)+$"), own_rule("worse", r"(x?x?x?x?x?){20}y")])
    text = "a" * 100_000 + "b" + "x" * 100_000
    assert masked(text, rules) == text
    assert masked("aaa", rules) == "[evil 1]"


def test_groups_of_rules() -> None:
    assert set(LIKELY) < set(SHARING) < set(ALL) == set(built_in())
