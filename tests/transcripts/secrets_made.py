"""Secrets that nobody has, of every rule; made here so that no scanner finds one in this file."""

from __future__ import annotations

from hypothesis import strategies as st

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"


def _made(start: str, letters: str, least: int, most: int | None = None) -> st.SearchStrategy[str]:
    return st.text(letters, min_size=least, max_size=most or least + 20).map(lambda rest: start + rest)


KEYS = st.one_of(
    _made("AKIA", LETTERS[:26] + DIGITS, 16, 16),
    _made("sk-ant-" + "api03-", LETTERS + DIGITS, 40),
    _made("sk-" + "proj-", LETTERS + DIGITS, 40),
    _made("hf" + "_", LETTERS, 34),
    _made("nv" + "api-", LETTERS + DIGITS, 60),
    _made("gh" + "p_", LETTERS + DIGITS, 36, 36),
    _made("github" + "_pat_", LETTERS + DIGITS, 60),
    _made("gl" + "pat-", LETTERS + DIGITS, 20),
    _made("xox" + "b-", DIGITS, 12),
    _made("AI" + "za", LETTERS + DIGITS, 35, 35),
    _made("sk_" + "live_", LETTERS + DIGITS, 24, 24),
    _made("SG." + "a" * 22 + ".", LETTERS + DIGITS, 43, 43),
    _made("eyJ" + "hbGciOiJIUzI1NiJ9.eyJz", LETTERS + DIGITS, 20),
)
PRIVATE_KEYS = st.text(LETTERS + DIGITS + "+/", min_size=64, max_size=400).map(
    lambda body: "-----BEGIN RSA PRIVATE " + "KEY-----\n"
    + "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    + "\n-----END RSA PRIVATE " + "KEY-----"
)  # fmt: skip
PASSWORDS = st.text(LETTERS + DIGITS + "!%&/?+-_.:", min_size=8, max_size=40).filter(
    lambda one: one[0] not in "-$<{%" and any(letter in DIGITS for letter in one) and len(set(one)) > 3
    and not one.lower().startswith(("process.env", "os.environ"))
)  # fmt: skip
EMAILS = st.builds(
    lambda name, host, end: f"{name}@{host}.{end}",
    st.text(LETTERS[26:] + DIGITS, min_size=3, max_size=12),
    st.text(LETTERS[26:], min_size=3, max_size=12),
    st.sampled_from(["com", "org", "de"]),
)
USERS = st.text(LETTERS[26:], min_size=5, max_size=12).filter(
    lambda one: one not in ("shared", "public", "undefined")
)
ADDRESSES = st.builds(
    lambda parts: ".".join(map(str, parts)), st.lists(st.integers(11, 254), min_size=4, max_size=4)
)


@st.composite
def secrets(draw: st.DrawFn) -> tuple[str, str]:
    """A secret, and a text that gives it away."""
    sort = draw(
        st.sampled_from(["key", "private", "password", "env", "url", "json", "email", "path", "address"])
    )
    if sort == "key":
        value = draw(KEYS)
        return value, f"use {value} for it"
    if sort == "private":
        value = draw(PRIVATE_KEYS)
        return value.split("\n")[1], f"cat id_rsa\n{value}\n"
    if sort == "email":
        value = draw(EMAILS)
        return value, f"write to <{value}>, please"
    if sort == "path":
        value = draw(USERS)
        return value, f"cd /home/{value}/shop && ls"
    if sort == "address":
        value = draw(ADDRESSES)
        return value, f"ping -c 1 {value}"
    value = draw(PASSWORDS)
    if sort == "env":
        return value, f"export DB_PASSWORD={value}\n" if not set(value) & set(
            "(){}[]<>,;"
        ) else f'password = "{value}"'
    if sort == "url":
        value = value.replace("/", "x").replace("@", "x")
        return value, f"postgres://shop:{value}@db:5432/shop"
    if sort == "json":
        return value, '{\\"api_key\\": \\"' + value + '\\"}'
    return value, f'password = "{value}"'
