"""Output of programs as a terminal would show it, line by line. No Django here.

Colours and weights (ECMA-48, "Select Graphic Rendition": 16, 256 and 24-bit colours) become classes and
a colour of our own writing; carriage returns, backspaces and what moves or erases inside of a line are
obeyed; what moves between lines, names windows, links or answers back is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from transcripts_app.render.values import esc

COLUMNS_MOST = 4000
LINE_MOST = 20_000  # of a line with movements in it: each is a cell

# CSI, then strings up to their end (OSC, DCS, APC, PM, SOS), then any other escape of two characters.
_ESCAPE = re.compile(
    "(?:\x1b\\[|\x9b)([0-9;:<=>?]*)[ -/]*([@-~])"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]?"
)
_MOVES = re.compile("[\r\x08]|(?:\x1b\\[|\x9b)[0-9;]*[CDGKPX@]")
_CONTROL = re.compile("[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x8f\x91-\x97\x99\x9a\x9c]")
_FLAGS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike"}
_OFF = {22: (1, 2), 23: (3,), 24: (4,), 27: (7,), 29: (9,)}


@dataclass(slots=True, frozen=True)
class Style:
    """How text looks: flags by their number, colours as 0 to 15 or `#rrggbb`."""

    flags: frozenset[int] = frozenset()
    front: int | str | None = None
    back: int | str | None = None


PLAIN = Style()


def is_terminal_text(text: str) -> bool:
    """Whether a text has anything in it that a terminal would obey."""
    return "\x1b" in text or "\r" in text or "\x08" in text or "\x9b" in text


def terminal_html(text: str) -> str:
    """Return output for HTML: escaped, in spans of the classes `ansi-*` with at most two colours."""
    if not is_terminal_text(text):
        return esc(_CONTROL.sub("", text))
    style, lines = PLAIN, []
    for line in text.replace("\r\n", "\n").split("\n"):
        runs, style = _line(line, style)
        lines.append("".join(_run_html(value, how) for value, how in runs))
    return "\n".join(lines)


def terminal_text(text: str) -> str:
    """Return output without escapes, as a terminal would leave it."""
    if not is_terminal_text(text):
        return text
    style, lines = PLAIN, []
    for line in text.replace("\r\n", "\n").split("\n"):
        runs, style = _line(line, style)
        lines.append("".join(value for value, _ in runs))
    return "\n".join(lines)


def _line(line: str, style: Style) -> tuple[list[tuple[str, Style]], Style]:
    if _MOVES.search(line):
        return _cells(line[:LINE_MOST], style)
    runs: list[tuple[str, Style]] = []
    at = 0
    for found in _ESCAPE.finditer(line):
        if found.start() > at:
            runs.append((_CONTROL.sub("", line[at : found.start()]), style))
        at = found.end()
        if found[2] == "m":
            style = _select(found[1], style)
    runs.append((_CONTROL.sub("", line[at:]), style))
    return runs, style


def _cells(line: str, style: Style) -> tuple[list[tuple[str, Style]], Style]:
    """Play one line on a row of cells."""
    row: list[tuple[str, Style]] = []
    column = at = 0
    for found in [*_ESCAPE.finditer(line), None]:
        column = _write(row, column, line[at : found.start() if found else len(line)], style)
        if found is None:
            break
        at = found.end()
        if found[2] == "m":
            style = _select(found[1], style)
        elif found[2]:
            column = _move(row, column, found[2], found[1])
    return _joined(row), style


def _write(row: list[tuple[str, Style]], column: int, text: str, style: Style) -> int:
    for letter in text:
        if letter == "\r":
            column = 0
        elif letter == "\x08":
            column = max(0, column - 1)
        elif letter >= " " or letter == "\t":
            if column < len(row):
                row[column] = (letter, style)
            else:
                row.extend([(" ", PLAIN)] * (column - len(row)))
                row.append((letter, style))
            column += 1
    return column


def _move(row: list[tuple[str, Style]], column: int, code: str, given: str) -> int:
    first = given.split(";")[0]
    number = min(int(first), COLUMNS_MOST) if first.isdecimal() and first.isascii() else 0
    if code == "C":
        return min(column + max(number, 1), max(COLUMNS_MOST, column))
    if code == "D":
        return max(0, column - max(number, 1))
    if code == "G":
        return max(0, number - 1)
    if code == "K" and number == 0:
        del row[column:]
    elif code == "K":  # from the beginning, or all of it
        for cell in range(min(column + 1, len(row))):
            row[cell] = (" ", PLAIN)
        if number == 2:
            del row[column:]
    elif code == "P":
        del row[column : column + max(number, 1)]
    elif code == "X":
        for cell in range(column, min(column + max(number, 1), len(row))):
            row[cell] = (" ", PLAIN)
    return column


def _joined(row: list[tuple[str, Style]]) -> list[tuple[str, Style]]:
    runs: list[tuple[str, Style]] = []
    begin = 0
    for end in range(1, len(row) + 1):
        if end == len(row) or (row[end][1] is not row[begin][1] and row[end][1] != row[begin][1]):
            runs.append(("".join(letter for letter, _ in row[begin:end]), row[begin][1]))
            begin = end
    if runs and runs[-1][1] == PLAIN:
        runs[-1] = (runs[-1][0].rstrip(" "), PLAIN)
    return runs


def _select(given: str, style: Style) -> Style:
    """Apply the numbers of one SGR sequence."""
    if not given or given == "0":
        return PLAIN
    codes = [int(code[:9]) if code.isdecimal() and code.isascii() else 0 for code in re.split("[;:]", given)]
    flags, front, back, at = set(style.flags), style.front, style.back, 0
    while at < len(codes):
        code = codes[at]
        if code == 0:
            flags, front, back = set(), None, None
        elif code in _FLAGS:
            flags.add(code)
        elif code in _OFF:
            flags.difference_update(_OFF[code])
        elif code in (38, 48):
            colour, used = _extended(codes[at + 1 : at + 6])
            front, back = (colour, back) if code == 38 else (front, colour)
            at += used
        else:
            front, back = _sixteen(code, front, back)
        at += 1
    return Style(frozenset(flags), front, back)


def _sixteen(
    code: int, front: int | str | None, back: int | str | None
) -> tuple[int | str | None, int | str | None]:
    if 30 <= code <= 37:
        front = code - 30
    elif 90 <= code <= 97:
        front = code - 82
    elif 40 <= code <= 47:
        back = code - 40
    elif 100 <= code <= 107:
        back = code - 92
    elif code == 39:
        front = None
    elif code == 49:
        back = None
    return front, back


def _extended(codes: list[int]) -> tuple[int | str | None, int]:
    """The colour after 38 or 48, and how many numbers it took."""
    kind = codes[0] if codes else 0
    if kind == 2 and len(codes) >= 4:
        red, green, blue = (min(255, code) for code in codes[1:4])
        return f"#{red:02x}{green:02x}{blue:02x}", 4
    if kind != 5 or len(codes) < 2:
        return None, len(codes)
    code = min(255, codes[1])
    if code < 16:
        return code, 2
    if code >= 232:
        return f"#{8 + 10 * (code - 232):02x}" + f"{8 + 10 * (code - 232):02x}" * 2, 2
    levels = [
        55 + 40 * level if level else 0
        for level in ((code - 16) // 36, (code - 16) // 6 % 6, (code - 16) % 6)
    ]
    return "#" + "".join(f"{level:02x}" for level in levels), 2


def _run_html(value: str, style: Style) -> str:
    if not value:
        return ""
    if style == PLAIN:
        return esc(value)
    classes = [f"ansi-{_FLAGS[flag]}" for flag in sorted(style.flags)]
    colours = []
    for colour, letter in ((style.front, "f"), (style.back, "b")):
        if isinstance(colour, int):
            classes.append(f"ansi-{letter}{colour}")
        elif colour:
            classes.append(f"ansi-{letter}")
            colours.append(f"--ansi-{letter}:{colour}")
    styled = f' style="{";".join(colours)}"' if colours else ""
    named = f' class="{" ".join(classes)}"' if classes else ""
    return f"<span{named}{styled}>{esc(value)}</span>"
