# ruff: noqa: E501 - tables of sources
"""Markdown of every role: what it becomes, and what it never becomes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rendered import Tags, problems, text_of
from transcripts_app.render.code import code_html
from transcripts_app.render.markdown import markdown_html


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("**a** *b* ~~c~~ `d`", "<p><strong>a</strong> <em>b</em> <s>c</s> <code>d</code></p>\n"),
        ("one\ntwo", "<p>one<br>\ntwo</p>\n"),
        ("<b>bold</b>", "<p>&lt;b&gt;bold&lt;/b&gt;</p>\n"),
        ("- [x] done", '<ul>\n<li><span class="tp-task-done">☑ </span>done</li>\n</ul>\n'),
        ("[src](src/a.py#L3)", '<p><span class="tp-dead" title="src/a.py#L3">src</span></p>\n'),
        ("[f](file:///etc/passwd)", '<p><span class="tp-dead" title="file:///etc/passwd">f</span></p>\n'),
        ("[x](javascript:alert(1))", '<p><span class="tp-dead">x</span></p>\n'),
    ],
)
def test_what_it_becomes(source: str, html: str) -> None:
    assert markdown_html(source) == html


def test_links_open_elsewhere_and_say_nothing_of_us() -> None:
    tags = Tags(markdown_html("[a](https://example.com/?q=1&x=2) and https://example.org/a_b_c."))
    links = [attributes for tag, attributes in tags.tags if tag == "a"]
    assert [link["href"] for link in links] == ["https://example.com/?q=1&x=2", "https://example.org/a_b_c"]
    assert {(link["target"], link["rel"]) for link in links} == {("_blank", "noopener noreferrer nofollow")}


def test_pictures_from_outside_become_links() -> None:
    html = markdown_html("![a map](https://example.com/map.png) ![x](data:image/png;base64,AA) ![y](/a.png)")
    assert "<img" not in html
    assert 'href="https://example.com/map.png"' in html
    assert text_of(html) == "a map (picture) x y"


def test_code_is_coloured_and_named() -> None:
    html = markdown_html("```python\ndef f(): return 1\n```")
    assert '<div class="tp-code-name">Python</div>' in html
    assert '<span class="k">def </span>' in html


def test_a_language_that_is_none_is_shown_and_nothing_else() -> None:
    html = markdown_html('```x"onload=alert(1)\ncode\n```')
    assert problems(html) == []
    assert "code" in html


def test_tables_are_aligned_by_class() -> None:
    html = markdown_html("| a | b |\n|--:|:-:|\n| 1 | 2 |")
    assert '<td class="tp-right">1</td>' in html
    assert "style" not in html


SNIPPETS = st.sampled_from([
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "![a](javascript:x)",
    "[a]: javascript:alert(1)", "[a]", "<javascript:alert(1)>", "<https://e.x/\" onmouseover=\"x>", "```", "`", "> ",
    "- ", "1. ", "| ", "|--|", "\n", "\n\n", "**", "__", "~~", "&#106;avascript:", "\\", "<!--", "-->", "<svg/onload=x>",
    "https://e.x/'\"><b>", "data:text/html,<script>", "[x](data:image/svg+xml;base64,AA)", "\x00", "\u202e", "$$",
])  # fmt: skip


@settings(max_examples=300)
@given(st.lists(SNIPPETS | st.text(max_size=10), max_size=30))
def test_any_markdown_is_made_of_our_tags_alone(pieces: list[str]) -> None:
    assert problems(markdown_html("".join(pieces))) == []


@pytest.mark.parametrize(
    "source",
    ["[" * 20_000, "*" * 20_000, "`" * 20_000, "> " * 10_000, "- " * 10_000, "![" * 10_000, "<" * 20_000, "&" * 20_000,
     "[a](" * 5_000, "*a _b " * 3_300, "|a" * 10_000 + "\n" + "|-" * 10_000, "https://a" * 2_200, "\\" * 20_000,
     "[a][" * 5_000, "`a``b```" * 2_500, "~~a" * 6_600, "(" * 20_000, "1." * 10_000],
)  # fmt: skip
def test_hostile_markdown_of_the_longest_kind_ends(source: str) -> None:
    assert problems(markdown_html(source[:20_000])) == []


LANGUAGES = st.sampled_from(
    ["python", "javascript", "bash", "html", "json", "yaml", "diff", "css", "sql", "c", "rust", ""]
)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), LANGUAGES)
def test_coloured_code_says_what_the_code_says(code: str, language: str) -> None:
    code = re.sub("[\r\x0c\ufeff\0]", "", code)
    html = code_html(code, language)
    assert set(re.findall(r"<(\w+)", html)) <= {"span"}
    assert problems(html) == []
    assert Tags(html).text == code


def test_a_long_text_is_made_piece_by_piece() -> None:
    """Code is not torn apart, and nothing is lost."""
    text = "\n\n".join(f"Paragraph {n}\n\n```python\nx = {n}\n\ny = {n}\n```" for n in range(2500))
    html = markdown_html(text)
    assert problems(html) == []
    assert html.count('<div class="tp-code">') == 2500
    assert html.count("<p>") == 2500


def test_a_long_text_without_end_of_line_stays_plain() -> None:
    html = markdown_html("*a" * 100_000)
    assert html.startswith("<pre>*a*a")
