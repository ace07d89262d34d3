"""Changes as rows: numbers, signs, the words that changed; hostile sizes stay bounded."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rendered import problems
from tests.support.transcript_gallery import PATCH
from transcripts_app.render.diff import ROWS_MOST, Diff, diff_html, diff_of_patch, diff_of_texts


def signs(found: Diff) -> str:
    return "".join({"less": "-", "more": "+", "gap": "~"}.get(row.kind, " ") for row in found.rows)


def test_a_structured_patch_has_the_numbers_of_the_file() -> None:
    found = diff_of_patch(PATCH)
    assert found is not None
    assert (found.added, found.removed, signs(found)) == (3, 2, "    -++  ~ -+ ")
    assert [(row.old, row.new) for row in found.rows[3:7]] == [(13, 13), (14, None), (None, 14), (None, 15)]
    assert (found.rows[-1].old, found.rows[-1].new) == (43, 44)


def test_words_that_changed_are_marked() -> None:
    found = diff_of_texts('return f"{n} lines"\n', 'return f"{n} pieces"\n')
    assert [row.html for row in found.rows] == [
        "return f&quot;{n} <mark>lines</mark>&quot;",
        "return f&quot;{n} <mark>pieces</mark>&quot;",
    ]


def test_lines_with_nothing_in_common_have_no_marks() -> None:
    found = diff_of_texts("alpha beta gamma\n", "one more thing\n")
    assert "<mark>" not in diff_html(found.rows)


def test_only_what_is_near_a_change_is_shown() -> None:
    old = [f"line {n}" for n in range(100)]
    new = [*old[:10], "NEW", *old[10:80], *old[81:]]
    found = diff_of_texts("\n".join(old), "\n".join(new))
    assert signs(found) == "   +   ~   -   "
    assert (found.rows[3].new, found.rows[11].old) == (11, 81)


def test_a_long_diff_is_cut_and_says_so() -> None:
    found = diff_of_texts("", "x\n" * 1000)
    assert (len(found.rows), found.is_cut, found.total, found.added) == (ROWS_MOST, True, 1000, 1000)
    assert len(diff_of_texts("", "x\n" * 1000, whole=True).rows) == 1000


def test_texts_that_are_equal_a_thousand_times_are_not_matched_line_by_line() -> None:
    """2,000 equal lines against 2,001: every pair would be compared."""
    old, new = "a\nb\n" * 2000, "b\na\n" * 2000
    found = diff_of_texts(old, new)
    assert found.added + found.removed <= 8000
    assert found.is_cut


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcde"), max_size=30), st.lists(st.sampled_from("abcde"), max_size=30))
def test_a_diff_leads_from_old_to_new(old: list[str], new: list[str]) -> None:
    found = diff_of_texts("\n".join(old), "\n".join(new))
    less = sum(row.kind == "less" for row in found.rows)
    more = sum(row.kind == "more" for row in found.rows)
    assert less - more == len(old) - len(new)
    for row in found.rows:
        if row.kind in ("less", "same") and row.old is not None:
            assert old[row.old - 1] == row.text
        if row.kind in ("more", "same") and row.new is not None:
            assert new[row.new - 1] == row.text
    assert (found.rows == []) == (old == new)


HUNK = st.sampled_from(["lines", "oldStart", "newStart"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(HUNK, inner),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(JSON, max_size=6))
def test_no_patch_breaks_the_page(patch: list[Any]) -> None:
    found = diff_of_patch(patch)
    if found is not None:
        html = f"<table>{diff_html(found.rows)}</table>"
        assert problems(html) == []
        assert set(re.findall(r"<(\w+)", html)) <= {"table", "tr", "td", "mark"}


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_no_texts_break_the_page(old: str, new: str) -> None:
    html = f"<table>{diff_html(diff_of_texts(old, new).rows)}</table>"
    assert problems(html) == []
