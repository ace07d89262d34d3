"""What a page says: readable text, links, images and facts about itself. Pure; runs in the child alone.

A page is the word of a stranger, and so deep or long that reading it may never end:
page_child.py bounds it.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from typing import Any
from urllib.parse import urljoin, urlsplit

import trafilatura
from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from sandbox_app.node.plain_text import clean

READABLE_MOST_BYTES = 2 * 2**20
LISTED_MOST = 500
SELECTED_MOST = 1_000
DEPTH_MOST = 100
FIELD_MOST_CHARACTERS = 2_000
_UNSEEN = ["script", "style", "noscript", "template", "svg", "iframe", "object"]
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")
_CHARSET = re.compile(rb"""(?i)<meta[^>]{0,200}?charset\s*=\s*["']?\s*([a-z0-9_.:-]{1,40})""")


class PageUnreadable(ValueError):
    """The page has nothing of the kind that was asked for; the sentence says what it is."""


def page_extract(body: bytes, order: dict[str, Any]) -> dict[str, Any]:
    """What `order["extract"]` names (text, json, html, links, images, meta) of a page.

    The order also has `url`, `media_type`, `charset` and `selector` (CSS, may be empty). The
    answer has `text` for the model and, for structured kinds, `data`. Raises PageUnreadable.
    """
    kind, selector = order["extract"], order.get("selector") or ""
    media_type = order.get("media_type") or ""
    if not is_text(media_type, body):
        raise PageUnreadable(
            f"This is {media_type or 'no text'} ({len(body)} bytes), which is not read as text."
        )
    source = decoded(body, order.get("charset"))
    if kind == "json":
        return _json(source)
    if not is_html(media_type, source):
        if kind in ("text", "html") and not selector:
            return {"text": clean(source), "title": ""}
        raise PageUnreadable(f"This is {media_type or 'plain text'}, no HTML page: it has no {kind}.")
    tree = LexborHTMLParser(source)
    title = _title(tree)
    chosen = _chosen(tree, selector)
    base = tree.css_first("base[href]")
    url = (_absolute(order["url"], base.attributes.get("href")) if base else None) or order["url"]
    return {"title": title, **_of_kind(kind, tree, chosen, source, url)}


def _of_kind(
    kind: str, tree: LexborHTMLParser, chosen: list[LexborNode] | None, source: str, url: str
) -> dict[str, Any]:
    match kind:
        case "html":
            parts = [source] if chosen is None else [node.html or "" for node in chosen]
            return {"text": clean("\n".join(parts))}
        case "links":
            return _listed(_links(chosen, tree, url))
        case "images":
            return _listed(_images(chosen, tree, url))
        case "meta":
            facts = _meta(tree, source, url)
            return {"text": json.dumps(facts, ensure_ascii=False, indent=1), "data": facts}
        case _:
            return {"text": _readable(tree, chosen, source, url)}


def is_text(media_type: str, body: bytes) -> bool:
    """Whether a body is text: by what its server says, or, where it says nothing, by its bytes."""
    if media_type.startswith(_TEXT_TYPES) or media_type.endswith(("+json", "+xml")):
        return True
    return media_type in ("", "application/octet-stream") and b"\0" not in body[:4096]


def is_html(media_type: str, source: str) -> bool:
    """Whether it is a page of HTML."""
    if media_type in ("text/html", "application/xhtml+xml"):
        return True
    return media_type in ("", "application/octet-stream") and "<html" in source[:2000].lower()


def decoded(body: bytes, charset: str | None) -> str:
    """The text of a body: by its mark, its header, or what the page says of itself; else UTF-8 or Latin-1."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if body.startswith(mark):
            return body.decode(encoding, "replace").removeprefix("\ufeff")
    found = _CHARSET.search(body[:4096])
    for name in (charset, found.group(1).decode() if found else None, "utf-8"):
        if name and _known(name):
            text = body.decode(name, "replace")
            if name != "utf-8" or text.count("\ufffd") <= len(text) // 100:
                return text
    return body.decode("cp1252", "replace")


def _known(name: str) -> bool:
    try:
        return codecs.lookup(name).name in ENCODINGS
    except (LookupError, ValueError):
        return False


def _encodings() -> frozenset[str]:
    numbers = [*(f"iso8859-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)), "koi8-r", "koi8-u"]
    windows = [f"cp{n}" for n in (866, 874, *range(1250, 1259))]
    asian = ["gbk", "gb18030", "gb2312", "big5", "euc_jp", "iso2022_jp", "shift_jis", "cp932", "euc_kr"]
    names = ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "ascii", "mac-roman", *numbers, *windows, *asian]
    return frozenset(codecs.lookup(name).name for name in names)


# What pages are written in (the WHATWG's Encoding Standard); looked up now, for later no file may be read.
ENCODINGS = _encodings()


def _line(text: str | None) -> str:
    return clean(" ".join((text or "").split()))[:FIELD_MOST_CHARACTERS]


def _title(tree: LexborHTMLParser) -> str:
    node = tree.css_first("title")
    return _line(node.text()) if node else ""


def _chosen(tree: LexborHTMLParser, selector: str) -> list[LexborNode] | None:
    """The nodes that a CSS selector names; None without one."""
    if not selector:
        return None
    try:
        nodes = tree.css(selector)[:SELECTED_MOST]
    except SelectolaxError:
        raise PageUnreadable(f"{selector[:200]!r} is no CSS selector.") from None
    if not nodes:
        raise PageUnreadable(f"Nothing on the page matches the selector {selector[:200]!r}.")
    return nodes


def _readable(tree: LexborHTMLParser, chosen: list[LexborNode] | None, source: str, url: str) -> str:
    """The page's own words without menus and advertisements, as Markdown; all words where that finds none."""
    if chosen is None and len(source) <= READABLE_MOST_BYTES:
        text = trafilatura.extract(source, url=url, output_format="markdown", include_tables=True)
        if text and len(text.strip()) >= 200:
            return clean(text.strip())
    tree.strip_tags(_UNSEEN)
    nodes = chosen if chosen is not None else [tree.body] if tree.body else []
    lines = (line.strip() for node in nodes for line in node.text(separator="\n").splitlines())
    return clean("\n".join(line for line in lines if line))


def _json(source: str) -> dict[str, Any]:
    try:
        data = json.loads(source, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise PageUnreadable("The answer is no JSON.") from None
    data = _clean_data(data, DEPTH_MOST)
    return {"text": json.dumps(data, ensure_ascii=False, indent=1), "data": data, "title": ""}


def _no_constant(word: str) -> None:
    raise ValueError(word)


def _clean_data(data: Any, depth: int) -> Any:
    if depth == 0:
        raise PageUnreadable(f"The JSON is nested deeper than {DEPTH_MOST} levels.")
    if isinstance(data, str):
        return clean(data)
    if isinstance(data, list):
        return [_clean_data(item, depth - 1) for item in data]
    if isinstance(data, dict):
        return {clean(key): _clean_data(item, depth - 1) for key, item in data.items()}
    return data


def _listed(found: list[dict[str, str]]) -> dict[str, Any]:
    lines = [" ".join(filter(None, (entry["url"], entry["text"]))) for entry in found]
    return {"text": "\n".join(lines), "data": found}


def _links(chosen: list[LexborNode] | None, tree: LexborHTMLParser, url: str) -> list[dict[str, str]]:
    found: dict[str, str] = {}
    for node in _nodes(chosen, tree, "a[href]"):
        target = _absolute(url, node.attributes.get("href"))
        if target and target not in found and len(found) < LISTED_MOST:
            found[target] = _line(node.text())[:300]
    return [{"url": target, "text": text} for target, text in found.items()]


def _images(chosen: list[LexborNode] | None, tree: LexborHTMLParser, url: str) -> list[dict[str, str]]:
    found: dict[str, str] = {}
    for node in _nodes(chosen, tree, "img"):
        first = (node.attributes.get("srcset") or "").split(" ")[0].rstrip(",")
        target = _absolute(url, node.attributes.get("src") or node.attributes.get("data-src") or first)
        if target and target not in found and len(found) < LISTED_MOST:
            found[target] = _line(node.attributes.get("alt"))[:300]
    return [{"url": target, "text": text} for target, text in found.items()]


def _nodes(chosen: list[LexborNode] | None, tree: LexborHTMLParser, selector: str) -> list[LexborNode]:
    if chosen is None:
        return tree.css(selector)
    return [node for one in chosen for node in one.css(selector)]


def _absolute(base: str, target: str | None) -> str | None:
    """The whole address of a link; None for what is not fetched by HTTP."""
    try:
        whole = urljoin(base, (target or "").strip()).partition("#")[0]
        return clean(whole)[:FIELD_MOST_CHARACTERS] if urlsplit(whole).scheme in ("http", "https") else None
    except ValueError:
        return None


def _meta(tree: LexborHTMLParser, source: str, url: str) -> dict[str, Any]:
    """What a page says about itself: title, description, author, date, language, and its meta tags."""
    tags: dict[str, str] = {}
    for node in tree.css("meta[content]"):
        name = node.attributes.get("property") or node.attributes.get("name")
        if name and len(tags) < 100:
            tags.setdefault(_line(name)[:100], _line(node.attributes.get("content")))
    root, canonical = tree.css_first("html"), tree.css_first("link[rel=canonical]")
    facts: dict[str, Any] = {
        "title": _title(tree),
        "language": _line(root.attributes.get("lang")) if root else "",
        "canonical": _absolute(url, canonical.attributes.get("href")) if canonical else None,
        "meta": tags,
    }
    if len(source) <= READABLE_MOST_BYTES:
        found = None
        with contextlib.suppress(
            ImportError, OSError
        ):  # a calendar that was not loaded while files could be read
            found = trafilatura.extract_metadata(source, default_url=url)
        for key in ("author", "date", "description", "sitename"):
            facts[key] = _line(getattr(found, key, None)) if found else ""
    return facts
