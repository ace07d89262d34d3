# ruff: noqa: E501 - long texts stay whole
"""Draws records as pages do, and reads back what a browser would be given."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from django.template.loader import render_to_string

from tests.support.transcript_gallery import kind_of, results_of
from transcripts_app.format.kinds import Kind
from transcripts_app.render.code import CLASSES
from transcripts_app.render.record import record_view
from transcripts_app.render.view import RecordView

MEDIA = "/transcripts/sessions/k/media/"
TAGS = {
    "a", "article", "blockquote", "br", "button", "code", "dd", "del", "details", "div", "dl", "dt", "em", "figcaption",
    "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "li", "mark", "ol", "p", "pre", "s", "span", "strong",
    "summary", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ICON_TAGS = {"svg", "path"}
ATTRIBUTES = {
    "aria-hidden", "aria-label", "class", "colspan", "data-agent", "data-agent-slot", "data-chosen", "data-state",
    "data-status", "data-tone", "data-whole", "decoding", "download", "height", "loading", "alt", "open", "rel", "role",
    "start", "tabindex", "target", "title", "type", "width", "href", "src", "style",
}  # fmt: skip
STYLE = re.compile(r"--ansi-[fb]:#[0-9a-f]{6}(;--ansi-b:#[0-9a-f]{6})?")
CLASS = re.compile(r"tp-[a-z-]+|is-words|tr-more|ansi-(f|b)\d{0,2}|ansi-[a-z]+|icon|chevron|hl|tag|bad|warn|good|busy|btn|btn-sm|btn-quiet"
                   r"|mono|faint|small|strong|muted")  # fmt: skip
LINK = re.compile(r"https?://|mailto:", re.IGNORECASE)
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")


def view_of(
    record: dict[str, Any], others: list[dict[str, Any]] | None = None, *, kind: Kind | None = None, whole: bool = False,
    inline: bool = False,
) -> RecordView:  # fmt: skip
    """The view of a record, with results from among `others`."""
    kind = kind_of(record) if kind is None else kind
    return record_view(record, kind=kind, results=results_of(others or []), whole=whole, inline_media=inline)


def drawn(view: RecordView, media_base: str = MEDIA) -> str:
    """A view's HTML, as it stands inside of a record on a page."""
    return render_to_string(
        "transcripts_app/parts/_record.html", {"view": view, "media_base": media_base, "whole_url": "/w/"}
    )


def html_of(record: dict[str, Any], others: list[dict[str, Any]] | None = None, **options: Any) -> str:
    return drawn(view_of(record, others, **options))


class Tags(HTMLParser):
    """Every tag with its attributes, and the text between."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def text_of(html: str) -> str:
    """What a reader sees, spaces folded."""
    return " ".join(" ".join(Tags(html).words).split())


def problems(html: str) -> list[str]:
    """Everything in a drawn record that we did not write: tags, attributes, classes, styles, addresses."""
    found = []
    for tag, attributes in Tags(html).tags:
        if tag in ICON_TAGS:
            if "href" in attributes or any(name.startswith("on") for name in attributes):
                found.append(f"{tag} {attributes}")
            continue
        if tag not in TAGS:
            found.append(f"<{tag}>")
        for name, value in attributes.items():
            if not _attribute_is_ours(tag, name, value):
                found.append(f"<{tag} {name}={value[:80]!r}>")
    return found


def _attribute_is_ours(tag: str, name: str, value: str) -> bool:
    if name not in ATTRIBUTES:
        return False
    if name == "style":
        return STYLE.fullmatch(value) is not None
    if name == "class":
        return all(CLASS.fullmatch(one) or one in CLASSES for one in value.split())
    if name == "href":
        return tag == "a" and (LINK.match(value) is not None or value.startswith(MEDIA))
    if name == "src":
        return tag == "img" and (value.startswith(MEDIA) or PICTURE.fullmatch(value) is not None)
    return True
