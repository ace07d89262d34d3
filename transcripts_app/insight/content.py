"""What is known of a file at one moment: all of it, or some of its lines. No Django here.

Lines are those between newlines; a text that ends in one has an empty last line.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LOOSE_MOST = 100


@dataclass(frozen=True, slots=True)
class Hunk:
    """A piece of a patch as Claude Code notes it (structuredPatch): lines with ' ', '-' or '+' before."""

    old_start: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """`text` where the whole file is known; else `lines` by number from 1, and pieces of unknown place.

    `total` is how many lines the file has, where known. Without any of them nothing is known.
    """

    text: str | None = None
    lines: dict[int, str] = field(default_factory=dict)
    loose: tuple[str, ...] = ()
    total: int | None = None

    @property
    def is_whole(self) -> bool:
        return self.text is not None

    @property
    def is_known(self) -> bool:
        return self.text is not None or bool(self.lines) or bool(self.loose)


@dataclass(frozen=True, slots=True)
class Row:
    """A line for a reader. `text` None is a gap: lines that nothing tells of, `hidden` of them if known."""

    number: int | None
    text: str | None
    hidden: int | None = None


UNKNOWN = Content()


def rows_of(content: Content) -> list[Row]:
    """Return a content line by line, gaps included; the empty last line of a text is left out."""
    if content.text is not None:
        lines = content.text.split("\n")
        return [Row(number, text) for number, text in enumerate(lines[:-1] if lines[-1] == "" else lines, 1)]
    rows: list[Row] = []
    expected = 1
    for number in sorted(content.lines):
        if number > expected:
            rows.append(Row(None, None, number - expected))
        rows.append(Row(number, content.lines[number]))
        expected = number + 1
    if content.total is None:
        rows.append(Row(None, None))
    elif content.total >= expected:
        rows.append(Row(None, None, content.total - expected + 1))
    for piece in content.loose:
        rows += [*(Row(None, line) for line in piece.split("\n")), Row(None, None)]
    return rows


def text_replace(text: str, old: str, new: str, *, every: bool, line_delta: int | None = None) -> str:
    """Replace as Claude Code's Edit does: with nothing as the new text, the newline goes too.

    `line_delta` is how many lines the tool's own patch adds; where it is told, it decides.
    """
    if not old:
        return new if not text.strip() else text
    plain = text.replace(old, new, -1 if every else 1)
    if new or old.endswith("\n") or old + "\n" not in text:
        return plain
    without = text.replace(old + "\n", new, -1 if every else 1)
    if line_delta is not None and without.count("\n") - text.count("\n") != line_delta:
        return plain
    return without


def replaced(content: Content, old: str, new: str, *, every: bool, line_delta: int | None = None) -> Content:
    """Return a content after an edit that succeeded, wherever it was."""
    if content.text is not None:
        return Content(text_replace(content.text, old, new, every=every, line_delta=line_delta))
    delta = new.count("\n") - old.count("\n") if line_delta is None else line_delta
    if not old:
        return Content(new)
    for start, text in _runs(content.lines):
        if old in text:
            if every:
                return _everywhere(content, old, new)
            after = text_replace(text, old, new, every=False, line_delta=line_delta)
            return _run_put(content, start, text, after)
    if any(old in piece for piece in content.loose):
        loose = tuple(piece.replace(old, new, -1 if every else 1) for piece in content.loose)
        return _moved(Content(None, content.lines, loose, content.total), delta)
    moved = _moved(content, None if every else delta)
    return _whole_if(Content(None, moved.lines, _loose((*moved.loose, new)), moved.total))


def patched(content: Content, hunks: tuple[Hunk, ...]) -> Content | None:
    """Return a content after a patch; None where its lines contradict what is known."""
    if content.text is not None:
        lines = dict(enumerate(content.text.split("\n"), 1))
        after = _patch(lines, hunks)
        return None if after is None else Content("\n".join(after[number] for number in sorted(after)))
    sparse = _patch(dict(content.lines), hunks)
    if sparse is None:
        return None
    delta = line_delta_of(hunks)
    total = None if content.total is None else content.total + delta
    return _whole_if(Content(None, sparse, content.loose, total))


def line_delta_of(hunks: tuple[Hunk, ...]) -> int:
    """How many lines a patch adds."""
    signs = [line[0] for hunk in hunks for line in hunk.lines]
    return signs.count("+") - signs.count("-")


def seen(content: Content, start: int, lines: tuple[str, ...], total: int | None) -> tuple[Content, bool]:
    """Return a content after lines of it were read, and whether they are others than those known before."""
    window = {start + place: text for place, text in enumerate(lines)}
    if total is not None and start == 1 and len(lines) >= total:
        whole = "\n".join(lines)
        known = content.text
        if known is not None and known.rstrip("\n") == whole.rstrip("\n"):
            return content, False
        differs = known is not None or any(
            window.get(number, "") != text for number, text in content.lines.items()
        )
        return Content(whole), differs
    if content.text is not None:
        known_lines = content.text.split("\n")
        agrees = all(_line(known_lines, number) == text for number, text in window.items())
        if agrees and (total is None or abs(total - len(known_lines)) <= 1):
            return content, False
        return _whole_if(Content(None, window, (), total)), True
    differs = any(content.lines.get(number, text) != text for number, text in window.items())
    moved = None not in (total, content.total) and abs((total or 0) - (content.total or 0)) > 1
    if differs or moved:
        return _whole_if(Content(None, window, (), total)), True
    merged = Content(
        None, content.lines | window, content.loose, total if total is not None else content.total
    )
    return _whole_if(merged), False


def _line(lines: list[str], number: int) -> str | None:
    if number == len(lines) + 1:
        return ""
    return lines[number - 1] if 1 <= number <= len(lines) else None


def _runs(lines: dict[int, str]) -> list[tuple[int, str]]:
    """Lines that follow each other, joined: the number of the first, and their text."""
    runs: list[tuple[int, list[str]]] = []
    for number in sorted(lines):
        if runs and runs[-1][0] + len(runs[-1][1]) == number:
            runs[-1][1].append(lines[number])
        else:
            runs.append((number, [lines[number]]))
    return [(start, "\n".join(texts)) for start, texts in runs]


def _run_put(content: Content, start: int, before: str, after: str) -> Content:
    """Put another text into the place of a run; what follows moves."""
    end, delta = start + before.count("\n"), after.count("\n") - before.count("\n")
    lines = {number: text for number, text in content.lines.items() if number < start}
    lines |= {number + delta: text for number, text in content.lines.items() if number > end}
    lines |= {start + place: text for place, text in enumerate(after.split("\n"))}
    total = None if content.total is None else content.total + delta
    return Content(None, lines, content.loose, total)


def _everywhere(content: Content, old: str, new: str) -> Content:
    """Replace in all that is known. Behind a gap nobody knows how far lines have moved."""
    moves = old.count("\n") != new.count("\n")
    placed: dict[int, str] = {}
    loose = [piece.replace(old, new) for piece in content.loose]
    shift = 0
    for place, (start, text) in enumerate(_runs(content.lines)):
        after = text.replace(old, new)
        if moves and (place or start > 1):
            loose.append(after)
            continue
        placed |= {start + shift + step: line for step, line in enumerate(after.split("\n"))}
        shift += after.count("\n") - text.count("\n")
    return Content(None, placed, _loose(tuple(loose)), None if moves else content.total)


def _moved(content: Content, delta: int | None) -> Content:
    """After a change of `delta` lines at an unknown place no line's number is known any more."""
    if delta == 0:
        return content
    total = None if content.total is None or delta is None else content.total + delta
    pieces = tuple(text for _, text in _runs(content.lines))
    return Content(None, {}, _loose((*content.loose, *pieces)), total)


def _loose(pieces: tuple[str, ...]) -> tuple[str, ...]:
    kept = [piece for place, piece in enumerate(pieces) if piece and piece not in pieces[:place]]
    return tuple(kept[-LOOSE_MOST:])


def _patch(lines: dict[int, str], hunks: tuple[Hunk, ...]) -> dict[int, str] | None:
    for hunk in sorted(hunks, key=lambda hunk: -hunk.old_start):
        old = [line[1:] for line in hunk.lines if line[:1] in (" ", "-")]
        new = [line[1:] for line in hunk.lines if line[:1] in (" ", "+")]
        start = max(1, hunk.old_start)  # 0 in a patch of an empty file
        if any(lines.get(start + place, text) != text for place, text in enumerate(old)):
            return None
        end, delta = start + len(old), len(new) - len(old)
        moved = {number + delta: text for number, text in lines.items() if number >= end}
        lines = {number: text for number, text in lines.items() if number < start} | moved
        lines |= {start + place: text for place, text in enumerate(new)}
    return lines


def _whole_if(content: Content) -> Content:
    """A content whose every line is known is a whole one."""
    total = content.total
    if (
        total
        and len(content.lines) >= total
        and all(number in content.lines for number in range(1, total + 1))
    ):
        return Content("\n".join(content.lines[number] for number in range(1, total + 1)))
    return content
