"""The parts that records are made of, each made from plain texts. No Django here."""

from __future__ import annotations

import re
from typing import Any

from transcripts_app.render.code import code_html, language_name
from transcripts_app.render.diff import Diff, diff_html
from transcripts_app.render.json_view import json_cut, json_html
from transcripts_app.render.markdown import markdown_html
from transcripts_app.render.media import Media, data_url, media_of
from transcripts_app.render.terminal import terminal_html
from transcripts_app.render.values import cut, mapping, short, text
from transcripts_app.render.view import Part

READ_LINES = 40  # of a file that was read
READ_CHARACTERS = 3_500
CODE_LINES = 120
OUTPUT_LINES = 200
FOLD_LINES = 12  # a text longer than that is folded
SAVED = re.compile(r"(?:Full output|Output) (?:saved to|was written to): ?([^\n<]{1,500})")


def markdown_part(value: str, *, whole: bool = False, label: str = "", folded: bool = False) -> Part:
    """Markdown, sanitised."""
    shown = cut(value, whole)
    return Part("markdown", {"html": markdown_html(shown.text)}, folded, shown.is_cut, label, shown.size)


def text_part(
    value: str, *, whole: bool = False, label: str = "", folded: bool = False, tone: str = ""
) -> Part:
    """Text as it is, with its line breaks; colours of a terminal are obeyed."""
    shown = cut(value, whole, lines=OUTPUT_LINES)
    data = {"html": terminal_html(shown.text), "tone": tone}
    return Part("text", data, folded, shown.is_cut, label, shown.size)


def code_part(
    value: str, language: str, *, whole: bool = False, label: str = "", folded: bool = False
) -> Part:
    """Code in colours."""
    shown = cut(value, whole, lines=CODE_LINES)
    data = {"html": code_html(shown.text, language, whole=whole), "language": language_name(language)}
    return Part("code", data, folded, shown.is_cut, label, shown.size)


def lines_part(
    value: str, language: str, first: int = 1, *, whole: bool = False, label: str = "", folded: bool = False
) -> Part:
    """Lines of a file with their numbers."""
    shown = cut(value, whole, lines=READ_LINES, characters=READ_CHARACTERS)
    body = shown.text.removesuffix("\n")
    numbers = range(first, first + body.count("\n") + 1)
    data = {
        "numbers": "\n".join(map(str, numbers)),
        "html": code_html(body, language, whole=whole),
        "language": language_name(language),
    }
    return Part("lines", data, folded, shown.is_cut, label, shown.size)


def json_part(value: Any, *, whole: bool = False, label: str = "", folded: bool = False) -> Part:
    """A JSON value, indented and in colours."""
    shown = json_cut(value, whole=whole)
    return Part(
        "code", {"html": json_html(shown.text), "language": ""}, folded, shown.is_cut, label, shown.size
    )


def diff_part(found: Diff, *, note: str = "", folded: bool = False) -> Part:
    """A change."""
    data = {"rows_html": diff_html(found.rows), "added": found.added, "removed": found.removed, "note": note}
    return Part("diff", data, folded, found.is_cut, size=f"{found.total:,} lines")


def note_part(
    words: str, *, icon: str = "", tone: str = "", facts: list[tuple[str, str]] | None = None
) -> Part:
    """One line that says something, with a few facts beside it."""
    return Part("note", {"text": words, "icon": icon, "tone": tone, "facts": facts or []})


def error_part(value: str, *, whole: bool = False, tone: str = "bad") -> Part:
    """What went wrong, in the words of the transcript."""
    inner = value.strip()
    for tag in ("tool_use_error", "error"):
        inner = inner.removeprefix(f"<{tag}>").removesuffix(f"</{tag}>")
    shown = cut(inner, whole, lines=60, characters=6_000)
    return Part(
        "error", {"html": terminal_html(shown.text), "tone": tone}, False, shown.is_cut, size=shown.size
    )


def facts_part(rows: list[tuple[str, str]]) -> Part:
    """Names and short values."""
    return Part("facts", {"rows": rows})


def media_part(block: dict[str, Any], place: str, *, inline: bool = False) -> Part:
    """A picture or a document: asked for by `place`, or carried inside with `inline`."""
    media = media_of(block)
    if media is not None and media.type:
        return _media(media, place, inline)
    source = mapping(block, "source")
    if block.get("type") == "document" and source.get("type") == "text":
        return text_part(text(source, "data"), label=short(text(block, "title")) or "Document", folded=True)
    words = "Picture" if block.get("type") == "image" else "Document"
    if url := text(source, "url"):
        return note_part(f"{words} at {short(url)}: not loaded", icon="photo")
    said = media.said if media else short(text(source, "media_type"), 60)
    return note_part(f"{words} that is not shown: {said or 'of no known type'}", icon="photo")


def _media(media: Media, place: str, inline: bool) -> Part:
    data: dict[str, Any] = {
        "place": place, "type": media.type, "size": media.size, "name": media.name,
        "width": media.width if 0 < media.width < 30_000 else 0,
        "height": media.height if 0 < media.height < 30_000 else 0,
        "data_url": data_url(media) if inline else "",
    }  # fmt: skip
    return Part("image" if media.is_image else "document", data)


def saved_part(value: str) -> Part | None:
    """Where a long output was put aside, if the text says so."""
    found = SAVED.search(value[:4000]) or SAVED.search(value[-4000:])
    if found is None:
        return None
    path = found[1].strip()
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    return Part("saved", {"path": short(path), "name": short(name)})


def is_long(value: str, lines: int = FOLD_LINES) -> bool:
    """Whether a text is folded at first."""
    return value.count("\n") >= lines or len(value) > 200 * lines
