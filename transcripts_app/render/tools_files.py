"""Views of tools that read, change and find files. No Django here."""

from __future__ import annotations

import re
from typing import Any

from transcripts_app.render.code import language_of_path
from transcripts_app.render.diff import Diff, diff_of_patch, diff_of_texts
from transcripts_app.render.parts import (
    code_part,
    diff_part,
    lines_part,
    markdown_part,
    note_part,
    text_part,
)
from transcripts_app.render.use import Drawn, Use, result_parts
from transcripts_app.render.values import count, cut, items, mapping, short, text
from transcripts_app.render.view import Part

_NUMBERED = re.compile(r" *(\d{1,9})(?:→|\t)(.*)", re.DOTALL)
_MATCH = re.compile(r"(.{1,400}?)([:-])(\d{1,9})\2(.*)", re.DOTALL)
EDITS_MOST = 30
GROUPS_MOST = 60
FOUND_MOST = 120
FOUND_WHOLE_MOST = 5_000


def read(use: Use) -> Drawn:
    """Lines of a file with their numbers, in colours by its ending; pictures and documents as such."""
    path = text(use.given, "file_path", "notebook_path", "path")
    drawn = Drawn(short(path), icon="file-text")
    offset, limit = count(use.given, "offset"), count(use.given, "limit")
    if not use.done or use.result is None:
        if offset is not None or limit is not None:
            drawn.detail += f" · from line {offset or 1}" + (f", {limit} lines" if limit else "")
        return drawn
    drawn.has_result = True
    kind, file = text(use.told, "type"), mapping(use.told, "file")
    content = text(file, "content")
    if kind == "text" and content:
        first = count(file, "startLine") or offset or 1
        total, number = count(file, "totalLines"), content.count("\n") + 1
        drawn.detail += f" · lines {first:,}–{first + number - 1:,}" + (f" of {total:,}" if total else "")
        drawn.parts = [_file_lines(content, path, first, use.whole)]
    elif isinstance(use.result.content, str) and (told := numbered_lines(use.result.content)):
        first, content = told
        drawn.detail += f" · lines {first:,}–{first + content.count(chr(10)):,}"
        drawn.parts = [_file_lines(content, path, first, use.whole)]
    else:
        drawn.parts = result_parts(use.result, whole=use.whole, inline=use.inline)
    return drawn


def _file_lines(content: str, path: str, first: int, whole: bool) -> Part:
    part = lines_part(content, language_of_path(path), first, whole=whole, folded=not whole)
    number = content.count("\n") + 1
    part.label = numbered(number, "line") if part.is_folded else ""
    return part


def numbered(number: int, noun: str) -> str:
    """`1 line`, `1,204 lines`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def numbered_lines(content: str) -> tuple[int, str] | None:
    """Take the numbers of `cat -n` off: the first number and the text. None if the lines have none."""
    if not _NUMBERED.match(content[:500].split("\n", 1)[0]):
        return None
    reminder = content.rfind("\n<system-reminder>")
    body = content[:reminder].rstrip("\n") if reminder > 0 else content
    lines, first = [], 0
    for line in body.split("\n"):
        found = _NUMBERED.fullmatch(line)
        if found:
            first = first or int(found[1])
            lines.append(found[2])
        else:
            lines.append(line)  # a line end inside of a line, or a remark at the end
    return first or 1, "\n".join(lines)


def edit(use: Use) -> Drawn:
    """A change as a diff: with line numbers once it was done, from old and new until then."""
    path = text(use.given, "file_path") or text(use.told, "filePath")
    drawn = Drawn(short(path), icon="pencil")
    patched = diff_of_patch(items(use.told, "structuredPatch"), whole=use.whole) if use.done else None
    note = "Every occurrence" if use.given.get("replace_all") is True else ""
    if use.told.get("userModified") is True:
        note = "Changed by the user before it was written"
    if patched is not None:
        drawn.parts = [_diff(patched, note)]
    else:
        edits = items(use.given, "edits") or [use.given]
        drawn.parts = [_diff(_edit(one, use.whole), note) for one in edits[:EDITS_MOST]]
        if len(edits) > EDITS_MOST:
            drawn.parts.append(note_part(f"and {len(edits) - EDITS_MOST} more changes", icon="list"))
    _totals(drawn)
    drawn.has_result = use.done
    return drawn


def _edit(one: Any, whole: bool) -> Diff:
    return diff_of_texts(text(one, "old_string"), text(one, "new_string"), whole=whole, numbered=False)


def _diff(found: Diff, note: str = "") -> Part:
    return diff_part(found, note=note)


def _totals(drawn: Drawn) -> None:
    added = sum(part.data.get("added", 0) for part in drawn.parts if part.template == "diff")
    removed = sum(part.data.get("removed", 0) for part in drawn.parts if part.template == "diff")
    if added or removed:
        drawn.detail += f" · +{added:,} −{removed:,}"


def write(use: Use) -> Drawn:
    """A file that was written: what changed in it, or all of a new one."""
    path = text(use.given, "file_path") or text(use.told, "filePath")
    content = text(use.given, "content")
    drawn = Drawn(short(path), icon="file-plus", has_result=use.done)
    patched = diff_of_patch(items(use.told, "structuredPatch"), whole=use.whole) if use.done else None
    if patched is not None:
        drawn.parts = [_diff(patched)]
        _totals(drawn)
        return drawn
    number = content.count("\n") + (not content.endswith("\n") and bool(content))
    is_new = text(use.told, "type") == "create"
    drawn.detail += f" · {'new file, ' if is_new else ''}{numbered(number, 'line')}"
    if path.endswith((".md", ".markdown")):
        label = numbered(number, "line") if number > 40 else ""
        drawn.parts = [markdown_part(content, whole=use.whole, folded=number > 40, label=label)]
    else:
        drawn.parts = [lines_part(content, language_of_path(path), whole=use.whole)]
    return drawn


def notebook_edit(use: Use) -> Drawn:
    """A cell of a notebook that was replaced, put in or taken out."""
    path = text(use.given, "notebook_path")
    mode, cell = text(use.given, "edit_mode") or "replace", text(use.given, "cell_id")
    drawn = Drawn(short(path), icon="notebook", has_result=use.done)
    drawn.detail += f" · {short(mode, 20)} cell {short(cell, 40)}".rstrip()
    source = text(use.given, "new_source")
    if text(use.given, "cell_type") == "markdown":
        drawn.parts = [markdown_part(source, whole=use.whole)]
    elif source:
        drawn.parts = [code_part(source, "python", whole=use.whole)]
    return drawn


def grep(use: Use) -> Drawn:
    """What was found, by file."""
    pattern, where = text(use.given, "pattern"), text(use.given, "path")
    limits = [text(use.given, "glob"), text(use.given, "type")]
    words = [f"“{short(pattern, 120)}”", f"in {short(where)}" if where else "", *map(short, limits)]
    drawn = Drawn(" · ".join(word for word in words if word), icon="search")
    if not use.done or use.result is None:
        return drawn
    drawn.has_result = True
    mode = text(use.told, "mode")
    content = text(use.told, "content")
    if mode == "files_with_matches" or (not mode and isinstance(use.told.get("filenames"), list)):
        drawn.parts = [found_files(items(use.told, "filenames"), use)]
    else:
        drawn.parts = [_matches(content or use.result.text, use)]
    return drawn


def found_files(names: list[Any], use: Use, note: str = "") -> Part:
    """Paths, by folder."""
    most = FOUND_WHOLE_MOST if use.whole else FOUND_MOST
    paths = [name for name in names if isinstance(name, str)]
    folders: dict[str, list[str]] = {}
    for path in paths[:most]:
        folder, _, last = path[:1000].rpartition("/")
        folders.setdefault(folder, []).append(last)
    groups = [
        {"path": short(folder), "names": [short(name) for name in inside]}
        for folder, inside in folders.items()
    ]
    data = {"groups": groups, "total": len(paths), "note": note, "matches": []}
    is_folded = len(paths) > 12 and not use.whole
    words = numbered(len(paths), "file")
    return Part("found", data, is_folded, len(paths) > most, words if is_folded else "", words)


def _matches(content: str, use: Use) -> Part:
    """`path:12:text` lines, by path; lines of context have hyphens."""
    shown = cut(content, use.whole, lines=FOUND_MOST, characters=12_000)
    groups: list[dict[str, Any]] = []
    single = text(use.given, "path") if not re.search(r"[*?]", text(use.given, "path")) else ""
    for line in shown.text.split("\n"):
        found = _MATCH.fullmatch(line[:2000])
        alone = re.fullmatch(r"(\d{1,9})([:-])(.*)", line[:2000], re.DOTALL) if not found else None
        if found:
            path, mark, number, words = found[1], found[2], found[3], found[4]
        elif alone:
            path, mark, number, words = single, alone[2], alone[1], alone[3]
        else:
            path, mark, number, words = "", ":", "", line[:2000]
        if not groups or groups[-1]["path"] != short(path):
            groups.append({"path": short(path), "lines": []})
        groups[-1]["lines"].append((number, words, mark == ":"))
    number = count(use.told, "numMatches") or count(use.told, "numLines") or content.count("\n") + 1
    data = {"groups": [], "matches": groups, "total": number, "note": ""}
    is_folded = number > 12 and not use.whole
    return Part(
        "found", data, is_folded, shown.is_cut, numbered(number, "line") if is_folded else "", shown.size
    )


def glob(use: Use) -> Drawn:
    """Files whose names fit."""
    where = text(use.given, "path")
    drawn = Drawn(
        short(text(use.given, "pattern")) + (f" · in {short(where)}" if where else ""), icon="folder"
    )
    if not use.done or use.result is None:
        return drawn
    names = items(use.told, "filenames") or [line for line in use.result.text.split("\n") if line.strip()]
    note = "There are more: the list was cut by the tool" if use.told.get("truncated") is True else ""
    drawn.parts, drawn.has_result = [found_files(names, use, note)], True
    return drawn


def ls(use: Use) -> Drawn:
    """A folder's list, as told."""
    drawn = Drawn(short(text(use.given, "path")), icon="folder")
    if use.done and use.result is not None:
        drawn.parts = [text_part(use.result.text, whole=use.whole, folded=True, label="List")]
        drawn.has_result = True
    return drawn
