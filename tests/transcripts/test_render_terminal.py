"""Output of programs, as a terminal would leave it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rendered import problems
from transcripts_app.render.terminal import terminal_html, terminal_text

ESC = "\x1b"


@pytest.mark.parametrize(
    ("output", "html"),
    [
        ("plain & <b>", "plain &amp; &lt;b&gt;"),
        (f"{ESC}[31mred{ESC}[0m", '<span class="ansi-f1">red</span>'),
        (f"{ESC}[1;92mgood{ESC}[m!", '<span class="ansi-bold ansi-f10">good</span>!'),
        (f"{ESC}[41mback{ESC}[49m!", '<span class="ansi-b1">back</span>!'),
        (f"{ESC}[38;5;9mx", '<span class="ansi-f9">x</span>'),
        (f"{ESC}[38;5;208mx", '<span class="ansi-f" style="--ansi-f:#ff8700">x</span>'),
        (f"{ESC}[38;5;244mx", '<span class="ansi-f" style="--ansi-f:#808080">x</span>'),
        (f"{ESC}[38;2;1;2;300mx", '<span class="ansi-f" style="--ansi-f:#0102ff">x</span>'),
        (f"{ESC}[48:2:1:2:3mx", '<span class="ansi-b" style="--ansi-b:#010203">x</span>'),
        (f"{ESC}[3;4;9mx{ESC}[23;24;29m", '<span class="ansi-italic ansi-underline ansi-strike">x</span>'),
        # A colour that goes on over the end of a line.
        (
            f"{ESC}[32ma\nb{ESC}[39mc",
            '<span class="ansi-f2">a</span>\n<span class="ansi-f2">b</span>c',
        ),
    ],
)
def test_colours_and_weights(output: str, html: str) -> None:
    assert terminal_html(output) == html


@pytest.mark.parametrize(
    ("output", "left"),
    [
        ("10%\r60%\r100%\ndone", "100%\ndone"),
        ("abcdef\rXY", "XYcdef"),
        ("two\r\nlines\r\n", "two\nlines\n"),
        ("typo\b\bed", "tyed"),
        (f"working…\r{ESC}[Kdone", "done"),
        (f"long line\r{ESC}[2Kshort", "short"),
        (f"abc{ESC}[2D{ESC}[K!", "a!"),
        (f"a{ESC}[4Cb", "a    b"),
        (f"abcdef{ESC}[3GX", "abXdef"),
        (f"{ESC}[2J{ESC}[H{ESC}[5Ascreen{ESC}[?25l", "screen"),
        (f"{ESC}]0;title\x07text", "text"),
        (f"{ESC}]8;;https://evil.example\x1b\\link{ESC}]8;;\x1b\\", "link"),
        (f"{ESC}P1$r0m{ESC}\\after {ESC}_secret{ESC}\\text", "after text"),
        ("\x9b31mC1\x9b0m", "C1"),
        (f"{ESC}(B{ESC}=x{ESC}", "x"),
        ("bell\x07 and \x00nul", "bell and nul"),
    ],
)
def test_what_moves_and_what_is_left_out(output: str, left: str) -> None:
    assert terminal_text(output) == left or terminal_html(output) == left


def test_a_far_column_costs_nothing() -> None:
    assert len(terminal_text(f"{ESC}[999999999Cx" * 50)) < 10_000


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "\x1b[",
                "\x1b]",
                "\x1b",
                "\r",
                "\b",
                "\n",
                "m",
                ";",
                "38;5;",
                "38;2;",
                "<b>",
                '"',
                "\x9b",
                "K",
                "G",
            ]
        ),
        st.integers(-5, 10**12).map(str),
        st.text(max_size=8),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(PIECES)
def test_any_output_is_drawn_by_spans_alone(pieces: list[str]) -> None:
    output = "".join(pieces).encode(errors="replace").decode()
    html = terminal_html(output)
    assert problems(html) == []
    assert set(re.findall(r"<(\w+)", html)) <= {"span"}
    assert "\x1b" not in html
    assert "\x1b" not in terminal_text(output)
