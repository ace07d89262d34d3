"""Changes as rows of a diff, with line numbers and the words that changed. No Django here."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from transcripts_app.render.values import count, esc, items

CONTEXT = 3
ROWS_MOST = 240  # drawn on a page; `whole` draws more
WHOLE_ROWS_MOST = 20_000
COST_MOST = 60_000  # pairs of equal lines: beyond it lines are not matched
LINE_MOST = 2_000  # characters of a line
WORDS_LINE_MOST = 400  # characters of a line whose words are compared
SIGNS = {"less": "−", "more": "+"}
PAIRS_MOST = 80  # lines of a diff whose words are compared

_WORDS = re.compile(r"\w+|\s+|.", re.DOTALL)


@dataclass(slots=True)
class Row:
    """One line: kind is `same`, `less`, `more` or `gap`; `html` is escaped."""

    kind: str
    old: int | None
    new: int | None
    text: str = ""
    html: str = ""


@dataclass(slots=True)
class Diff:
    """Rows to draw, and how many lines there are more and less in all of it."""

    rows: list[Row] = field(default_factory=list)
    added: int = 0
    removed: int = 0
    is_cut: bool = False
    total: int = 0


def diff_of_patch(patch: list[Any], *, whole: bool = False) -> Diff | None:
    """Read a structuredPatch: hunks with `oldStart`, `newStart` and signed lines. None if it is none."""
    rows: list[Row] = []
    for hunk in patch:
        lines = items(hunk, "lines")
        if not lines:
            continue
        old, new = count(hunk, "oldStart"), count(hunk, "newStart")
        if rows:
            rows.append(Row("gap", None, None))
        _hunk(rows, lines, 1 if old is None else old, 1 if new is None else new)
    return _finished(rows, whole) if rows else None


def _hunk(rows: list[Row], lines: list[Any], old: int, new: int) -> None:
    for line in lines:
        if not isinstance(line, str) or line.startswith("\\"):
            continue
        sign, words = line[:1], line[1:]
        if sign == "-":
            rows.append(Row("less", old, None, words))
            old += 1
        elif sign == "+":
            rows.append(Row("more", None, new, words))
            new += 1
        else:
            rows.append(Row("same", old, new, words))
            old, new = old + 1, new + 1


def diff_of_texts(old: str, new: str, *, whole: bool = False, numbered: bool = True) -> Diff:
    """Compare two texts by lines, with a little of what stays around each change."""
    before, after = _lines(old), _lines(new)
    rows: list[Row] = []
    for group in _groups(before, after):
        if rows:
            rows.append(Row("gap", None, None))
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                rows += [Row("same", i1 + k + 1, j1 + k + 1, before[i1 + k]) for k in range(i2 - i1)]
                continue
            rows += [Row("less", i + 1, None, before[i]) for i in range(i1, i2)]
            rows += [Row("more", None, j + 1, after[j]) for j in range(j1, j2)]
    if not numbered:
        for row in rows:
            row.old = row.new = None
    return _finished(rows, whole)


def diff_html(rows: list[Row]) -> str:
    """Return rows of a table: numbers if there are any, sign, line."""
    numbered = any(row.old is not None or row.new is not None for row in rows)
    width = 4 if numbered else 2
    return "".join(_row_html(row, numbered, width) for row in rows)


def _row_html(row: Row, numbered: bool, width: int) -> str:
    if row.kind == "gap":
        return f'<tr class="tp-gap"><td colspan="{width}">⋯</td></tr>'
    numbers = "".join(f"<td>{'' if number is None else number}</td>" for number in (row.old, row.new))
    sign = SIGNS.get(row.kind, " ")
    return f'<tr class="tp-{row.kind}">{numbers if numbered else ""}<td>{sign}</td><td>{row.html}</td></tr>'


def _lines(text: str) -> list[str]:
    # Not splitlines: form feeds and U+2028 are no ends of lines to an editor.
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


Opcode = tuple[str, int, int, int, int]


def _groups(before: list[str], after: list[str]) -> list[list[Opcode]]:
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    a, b = before[head : len(before) - tail], after[head : len(after) - tail]
    if not a and not b:
        return []
    codes: list[Opcode] = [("replace", 0, len(a), 0, len(b))]
    if a and b and _cost(a, b) <= COST_MOST:
        codes = list(difflib.SequenceMatcher(None, a, b).get_opcodes())
    codes = [(tag, i1 + head, i2 + head, j1 + head, j2 + head) for tag, i1, i2, j1, j2 in codes]
    if head:
        codes.insert(0, ("equal", 0, head, 0, head))
    if tail:
        codes.append(("equal", len(before) - tail, len(before), len(after) - tail, len(after)))
    return _grouped(codes)


def _cost(a: list[str], b: list[str]) -> int:
    there = Counter(b)
    return sum(number * there[line] for line, number in Counter(a).items()) + len(a) + len(b)


def _grouped(codes: list[Opcode]) -> list[list[Opcode]]:
    """Keep CONTEXT equal lines around changes, as `diff -u` does."""
    groups: list[list[Opcode]] = []
    group: list[Opcode] = []
    for place, (tag, i1, i2, j1, j2) in enumerate(codes):
        if tag != "equal":
            group.append((tag, i1, i2, j1, j2))
            continue
        first, last = place == 0, place == len(codes) - 1
        keep = CONTEXT if first or last else 2 * CONTEXT
        if i2 - i1 <= keep:
            group.append((tag, i1, i2, j1, j2))
            continue
        if not first:
            group.append((tag, i1, i1 + CONTEXT, j1, j1 + CONTEXT))
            groups.append(group)
            group = []
        if not last:
            group.append((tag, i2 - CONTEXT, i2, j2 - CONTEXT, j2))
    if any(code[0] != "equal" for code in group):
        groups.append(group)
    return groups


def _finished(rows: list[Row], whole: bool) -> Diff:
    most = WHOLE_ROWS_MOST if whole else ROWS_MOST
    out = Diff(rows[:most], is_cut=len(rows) > most, total=len(rows))
    out.added = sum(row.kind == "more" for row in rows)
    out.removed = sum(row.kind == "less" for row in rows)
    for row in out.rows:
        row.text = row.text if len(row.text) <= LINE_MOST else row.text[:LINE_MOST] + " …"
        row.html = esc(row.text)
    _words(out.rows)
    return out


def _words(rows: list[Row]) -> None:
    """Mark the words that changed, where as many lines come as went."""
    at = pairs = 0
    while at < len(rows) and pairs < PAIRS_MOST:
        if rows[at].kind != "less":
            at += 1
            continue
        middle = at
        while middle < len(rows) and rows[middle].kind == "less":
            middle += 1
        end = middle
        while end < len(rows) and rows[end].kind == "more":
            end += 1
        if middle - at == end - middle:
            for less, more in zip(rows[at:middle], rows[middle:end], strict=True):
                less.html, more.html = _marked(less.text, more.text)
                pairs += 1
        at = end


def _marked(old: str, new: str) -> tuple[str, str]:
    plain = esc(old), esc(new)
    if max(len(old), len(new)) > WORDS_LINE_MOST:
        return plain
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < min(len(a), len(b)) - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    codes: list[Opcode] = [("replace", head, len(a) - tail, head, len(b) - tail)]
    if min(codes[0][2] - head, codes[0][4] - head) > 3:
        inner = difflib.SequenceMatcher(None, a[head : len(a) - tail], b[head : len(b) - tail])
        codes = [
            (tag, i1 + head, i2 + head, j1 + head, j2 + head) for tag, i1, i2, j1, j2 in inner.get_opcodes()
        ]
    changed = [code for code in codes if code[0] != "equal"]
    kept = len(old) - sum(len(word) for code in changed for word in a[code[1] : code[2]])
    # Lines with little in common are two lines, not one that changed.
    if kept * 10 < 3 * max(len(old), len(new)):
        return plain
    return (
        _with_marks(a, [(code[1], code[2]) for code in changed]),
        _with_marks(b, [(code[3], code[4]) for code in changed]),
    )


def _with_marks(words: list[str], spans: list[tuple[int, int]]) -> str:
    out, at = [], 0
    for begin, end in spans:
        if begin == end:
            continue
        out.append(esc("".join(words[at:begin])))
        out.append(f"<mark>{esc(''.join(words[begin:end]))}</mark>")
        at = end
    out.append(esc("".join(words[at:])))
    return "".join(out)
