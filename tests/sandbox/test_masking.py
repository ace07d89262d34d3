"""What must not be seen is taken out of arguments; what may be seen stays readable."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from sandbox_app.masking import MASKED, Rules, mask, rules_make

NONE = Rules()
SECRET = "kZ7q-Vw31xT9-pLm0_aB4"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
LOOKS = {
    "openai": "sk-proj-abcDEF0123456789abcd",
    "anthropic": "sk-ant-api03-abcDEF0123456789",
    "hugging face": "hf_abcdefghijklmnopqrstuvwx",
    "github": "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "github fine": "github_pat_11AAAAAAA0abcdefghijkl_mnop",
    "gitlab": "glpat-abcdefghij0123456789",
    "ngc": "nvapi-abcdefghij0123456789abcdefghij",
    "slack": "xoxb-1234567890-abcdefghij",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "google": "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "jwt": JWT,
    "pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\nQ==\n-----END RSA PRIVATE KEY-----",
    "sparkweb key": "sw_abcdefghijklmnopqrstuvwxyz0123456789ABCDEF_",
    "node key": "sparkweb-node-key-1:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=",
}
NAMES = [
    "password", "PASSWORD", "db_password", "dbPassword", "passwd", "token", "access_token", "accessToken",
    "HF_TOKEN", "api_key", "apiKey", "x-api-key", "Authorization", "Proxy-Authorization", "cookie",
    "Set-Cookie", "cookies", "client_secret", "credentials", "private_key", "aws_secret_access_key", "bearer",
]  # fmt: skip
OPEN_NAMES = ["max_tokens", "token_count", "tokens", "author", "key", "keys", "passenger", "secretary",
              "cookbook", "tokenizer", "code", "authority", "max_token_length"]  # fmt: skip
WITHIN = {
    "command": "curl -H 'Authorization: Bearer {}' http://x",
    "option": "mysql --password {} -u me",
    "option with equals": "tool --api-key={} now",
    "python": 'password = "{}"  # mine',
    "python keyword": "login(user='a', token='{}')",
    "json": '{{"api_key": "{}", "n": 1}}',
    "json in json": json.dumps({"inner": '{"api_key": "SECRET"}'})
    .replace("{", "{{")
    .replace("}", "}}")
    .replace("SECRET", "{}"),
    "environment": "export MY_TOKEN={} && run",
    "url": "https://me:{}@example.com/x",
    "query": "https://example.com/x?a=1&access_token={}&b=2",
    "cookie header": "Cookie: session={}; theme=dark",
    "cut off": 'x = 1\nsecret = "{}',
}


@pytest.mark.parametrize("look", LOOKS)
def test_looks_like_a_secret(look: str) -> None:
    masked = mask({"code": f"before {LOOKS[look]} after", "list": [{"deep": LOOKS[look]}]}, NONE)
    assert masked == {"code": f"before {MASKED} after", "list": [{"deep": MASKED}]}


@pytest.mark.parametrize("name", NAMES)
def test_is_named_like_a_secret(name: str) -> None:
    assert mask({name: SECRET, "a": {name: {"x": [SECRET]}}, "n": [{name: 12345}]}, NONE) == {
        name: MASKED, "a": {name: MASKED}, "n": [{name: MASKED}]
    }  # fmt: skip
    assert mask({"headers": [[name, SECRET], {"name": name, "value": SECRET}]}, NONE) == {
        "headers": [[name, MASKED], {"name": name, "value": MASKED}]
    }
    assert mask({name: None, "x": {name: ""}, "y": {name: True}}, NONE) == {
        name: None, "x": {name: ""}, "y": {name: True}
    }  # fmt: skip


@pytest.mark.parametrize("name", OPEN_NAMES)
def test_other_names_stay_readable(name: str) -> None:
    assert mask({name: "plain words"}, NONE) == {name: "plain words"}


@pytest.mark.parametrize("where", WITHIN)
def test_secret_within_a_text(where: str) -> None:
    text = mask({"text": WITHIN[where].format(SECRET)}, NONE)["text"]
    assert SECRET not in text and MASKED in text
    if where not in ("cut off", "cookie header", "command"):
        before, _, after = WITHIN[where].partition("{}")
        assert text.startswith(before[:8].replace("{{", "{")) and text.endswith(after[-3:].replace("}}", "}"))


def test_arguments_of_a_command() -> None:
    masked = mask({"argv": ["psql", "--password", SECRET, "-h", "db"]}, NONE)
    assert masked == {"argv": ["psql", "--password", MASKED, "-h", "db"]}


@pytest.mark.parametrize(
    "text",
    [
        "Basic understanding of tokens, digest size and cookies: per-token costs.",
        "for token in tokens: print(token)",
        "def authorize(user): return user.authorized",
        "SELECT key, secretary FROM passengers WHERE author = 'x'",
        "https://example.com:8080/path?q=1",
        "mail me@example.com",
    ],
)
def test_honest_text_stays(text: str) -> None:
    assert mask({"text": text}, NONE) == {"text": text}


def test_rules_of_the_owner(settings: Any) -> None:
    settings.MASK_RULES = rules_make(["Kontonummer", "iban"], r"\bDE\d{20}\b")
    masked = mask({"konto_nummer": "1", "IBAN": "x", "note": "to DE12345678901234567890 now", "b": 1})
    assert masked == {"konto_nummer": MASKED, "IBAN": MASKED, "note": f"to {MASKED} now", "b": 1}
    with pytest.raises(ValueError, match="no regular expression"):
        rules_make([], "(")


def test_bounds() -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    huge = {"text": "x" * 4_000_000, "items": list(range(5_000)), "deep": deep, "many": [["y"] * 900] * 900}
    masked = mask(huge, NONE)
    assert masked["text"].endswith("… [4000000 characters in all]")
    assert masked["items"][-1] == "… [4000 more]"
    assert "nested too deep" in json.dumps(masked, ensure_ascii=False)
    assert len(json.dumps(masked)) < 500_000


@pytest.mark.parametrize("shift", [0, 1, 5, 10, 20, 30])
def test_secret_at_the_border_is_not_half_shown(shift: int) -> None:
    text = "x " * (16_384 // 2) + "y" * 100
    for place in (16_384 - shift, 24_576 - shift):
        planted = (text * 3)[:place] + " " + LOOKS["github"] + " " + "z " * 9_000
        assert "ghp_a" not in mask({"t": planted}, NONE)["t"]


def test_no_object_is_kept_too() -> None:
    assert mask([1, SECRET], NONE) == {"value": [1, SECRET]}
    assert mask(LOOKS["aws"], NONE) == {"value": MASKED}


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
PLANTED = st.sampled_from(sorted(LOOKS.values()))
JSON_LIKE = st.recursive(
    PLAIN | st.builds("{} {} {}".format, st.text(max_size=10), PLANTED, st.text(max_size=10)),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=12) | st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=30,
)


@settings_of(deadline=None)
@given(JSON_LIKE)
def test_no_planted_secret_survives(arguments: Any) -> None:
    before = copy.deepcopy(arguments)
    text = json.dumps(mask(arguments, NONE), ensure_ascii=False)
    assert repr(arguments) == repr(before)
    for secret in LOOKS.values():
        assert secret not in text and json.dumps(secret)[1:-1] not in text


@settings_of(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.text(min_size=1, max_size=60) | st.integers(), min_size=1))
def test_named_values_are_gone_whole(arguments: dict[str, Any]) -> None:
    assert set(mask(arguments, NONE).values()) == {MASKED}


@settings_of(deadline=None)
@given(JSON_LIKE)
def test_masking_twice_changes_nothing_more(arguments: Any) -> None:
    once = mask(arguments, NONE)
    assert repr(mask(once, NONE)) == repr(once)
