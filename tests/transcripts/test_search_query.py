"""The query language: what is meant, what is refused and how, and that nothing typed reaches FTS5."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcripts_app.search.filters import FILTERS, span_of
from transcripts_app.search.match import match_of
from transcripts_app.search.query import Query, QueryBad, query_parse
from transcripts_app.search.words import words_of_text, words_pattern

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)


def _match(text: str) -> str:
    return match_of(query_parse(text, NOW).match, lambda name, value: [f"{name[0]}{value}"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Basket count", '(body : "basket") AND (body : "count")'),
        ('"no such file"', '(body : "no such file")'),
        ("foo_bar", '(body : "foo bar")'),
        ("a/b.py:12", '(body : "a b py 12")'),
        ("--flag", '(body : "flag")'),
        ("Café", '(body : "Café")'),
        ("bask*", '(body : "bask" *)'),
        ("getUserName", '(body : "getusername")'),
        ("print(1)", '(body : "print 1")'),
        ("a -b", '((body : "a")) NOT ((body : "b"))'),
        ("a NOT b", '((body : "a")) NOT ((body : "b"))'),
        ("a AND b", '(body : "a") AND (body : "b")'),
        ("(a OR b) c", '(((body : "a")) OR ((body : "b")))'),
        ("tool:mcp__page__click", '(facets : ("tmcppageclick"))'),
        ("tool:Read,Edit", '(facets : ("tread" OR "tedit"))'),
        ("is:error", '(facets : ("xerr"))'),
        ("in:output", '(facets : ("k5"))'),
        ("model:opus", '(facets : ("mopus"))'),
        ("http://host:80/x", '(body : "http host 80 x")'),
        ("std::vector", '(body : "std vector")'),
        ("rate:this", '(body : "rate this")'),
        ('"tool:Bash"', '(body : "tool bash")'),
        ('"open quote', '(body : "open quote")'),
        ("\u201ccurly quotes\u201d", '(body : "curly quotes")'),
    ],
)
def test_meaning(text: str, expected: str) -> None:
    assert expected in _match(text)


@pytest.mark.parametrize(
    ("text", "at", "instead", "words"),
    [
        ("word tol:Bash", 6, "tool:", "did you mean `tool:`?"),
        ("is:eror", 1, "is:error", "did you mean `is:error`?"),
        ("tool:", 1, "", "needs a value, as in `tool:Bash`"),
        ("a OR", 3, "", "one is missing"),
        ("-(", 1, "", ""),
        ("- -a NOT", 6, "", "missing"),
        ("(path:x OR a)", 2, "", "cannot stand inside OR"),
        ("path:x OR a", 1, "", "cannot stand inside OR"),
        ("on:2026-13", 1, "", "is no date"),
        ("after:soon", 1, "", "7d for seven days ago"),
        ("-before:2026", 2, "", "write `after:`"),
        ("(a OR -b)", 0, "", "needs a word to find"),
        ("NOT -a", 1, "", "Twice not"),
        ("is:error,warmup", 1, "", "of its own"),
        ("(" * 11 + "a", 11, "", "10 deep"),
        ("a " * 65, 129, "", "at most 64"),
        ("x" * 1001, 0, "", "1,001 characters"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, at: int, instead: str, words: str) -> None:
    if text == "-(":
        assert query_parse(text).match.parts == ()
        return
    with pytest.raises(QueryBad) as caught:
        query_parse(text, NOW)
    assert (caught.value.at, caught.value.instead) == (at, instead)
    assert words in str(caught.value)


def test_filters_of_the_whole_search_stand_beside_the_words() -> None:
    query = query_parse('word path:*.py -project:"my shop, too" before:2026-02 after:2026-01-15', NOW)
    assert [(one.name, one.values, one.is_not) for one in query.narrow] == [
        ("path", ("*.py",), False),
        ("project", ("my shop, too",), True),
    ]
    assert (query.after_ms, query.before_ms) == (1768435200000, 1769904000000)
    assert query.notes == ()


def test_what_has_no_letter_is_left_out_and_told() -> None:
    query = query_parse("a -> () b")
    assert len(query.match.parts) == 2
    assert query.notes == (
        "`->` has no letter and no digit, so it was left out.",
        "`()` at 6 is empty and was left out.",
    )


def test_what_is_left_out_is_not_marked() -> None:
    assert [one.words for one in query_parse("a -b (c OR d) -(e f)").phrases] == [("a",), ("c",), ("d",)]


@pytest.mark.parametrize(
    ("value", "begin", "end"),
    [
        ("2026", (2026, 1, 1), (2027, 1, 1)),
        ("2026-12", (2026, 12, 1), (2027, 1, 1)),
        ("2024-02-29", (2024, 2, 29), (2024, 3, 1)),
        ("today", (2026, 12, 1), (2026, 12, 2)),
        ("yesterday", (2026, 11, 30), (2026, 12, 1)),
        ("7d", (2026, 11, 24, 12), (2026, 11, 24, 12)),
        ("36h", (2026, 11, 30), (2026, 11, 30)),
    ],
)
def test_dates(value: str, begin: tuple[int, ...], end: tuple[int, ...]) -> None:
    def ms(parts: tuple[int, ...]) -> int:
        return round(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]

    assert span_of(value, NOW) == (ms(begin), ms(end))


@pytest.mark.parametrize(
    "value", ["9999", "0000", "2026-02-30", "9999-12-31", "99999d", "", "٣d", "2026-1-1-1"]
)
def test_days_that_no_calendar_has_are_none(value: str) -> None:
    assert span_of(value, NOW) is None


HOSTILE = st.text(
    st.one_of(
        st.sampled_from(list("\"'()*:^-+{}[]\\/ \0\n\t,%_?.|<>ORNANDToré搜\u0301\u201c\u201d\ud800")),
        st.characters(),
    ),
    max_size=60,
)
PIECES = st.lists(
    st.one_of(
        HOSTILE,
        st.sampled_from(
            ["OR", "AND", "NOT", "NEAR(a b)", "-", "(", ")", '"', "a*", "body:", "facets : x", "*"]
        ),
        st.builds(lambda name, value: f"{name}:{value}", st.sampled_from([*FILTERS, "tol"]), HOSTILE),
    ),
    max_size=12,
).map(" ".join)


@pytest.fixture(scope="module")
def index() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE VIRTUAL TABLE archive_search USING fts5("
        "body, facets, content='', tokenize='unicode61 remove_diacritics 2')"
    )
    connection.execute(
        "INSERT INTO archive_search (rowid, body, facets) VALUES (1, 'a or near b', 'k1 tbash')"
    )
    return connection


@given(text=PIECES)
def test_any_text_is_understood_or_refused_in_words(index: sqlite3.Connection, text: str) -> None:
    try:
        query = query_parse(text, NOW)
    except QueryBad as bad:
        assert str(bad).strip().endswith((".", "?", ")"))
        return
    assert isinstance(query, Query)
    expression = match_of(query.match, lambda _name, _value: ["xsome"])
    list(index.execute("SELECT rowid FROM archive_search WHERE archive_search MATCH ?", (expression,)))


TEXTS = st.text(st.sampled_from(list("abcéÉßñ_-./ 019搜索ΑάЖ\u0301\u0308")), max_size=40)


@given(text=TEXTS)
def test_words_are_those_of_the_index(text: str) -> None:
    """Each word of a text is found in it by the index, and marked in it by the page."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(body, tokenize='unicode61 remove_diacritics 2')")
    connection.execute("INSERT INTO t VALUES (?)", (text,))
    for word in words_of_text(text):
        found = connection.execute("SELECT COUNT(*) FROM t WHERE t MATCH ?", (f'"{word}"',)).fetchone()[0]
        assert found == 1, word
        assert words_pattern([((word,), False)], ascii_only=text.isascii()).search(text), word
