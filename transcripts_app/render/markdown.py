"""Markdown of a transcript as HTML that does nothing. No Django here.

Three gates: markdown-it makes no raw HTML (it is shown as text) and no link that is not http, https or
mailto; nothing is loaded from outside, so that a picture becomes a link to it; nh3 lets through a short
list of tags and classes, whatever the first two have missed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from transcripts_app.render.code import CLASSES, code_html, language_name, language_of
from transcripts_app.render.values import esc

KEPT_MOST = 4_000  # characters of a text that is remembered
PIECE_MOST = 16_000
FORMATTED_MOST = 200_000  # longer prose is shown as its source: to format it takes seconds
BRACKETS_MOST = 2_000
SCHEMES = ("http", "https", "mailto")
TAGS = {
    "a", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol",
    "p", "pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
OWN_CLASSES = {
    "span": CLASSES | {"tp-dead", "tp-task", "tp-task-done"},
    "div": {"tp-code", "tp-code-name", "tp-table"},
    "code": {"hl"},
    "td": {"tp-right", "tp-center"},
    "th": {"tp-right", "tp-center"},
}
_SAFE = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_BARE = re.compile(r"https?://[^\s<>\"'`|\\^{}\[\]]{2,2000}")
_TASK = re.compile(r"\[([ xX])\]\s")

_CLEANER = nh3.Cleaner(
    tags=TAGS,
    clean_content_tags={"script", "style"},
    attributes={"a": {"href", "title"}, "span": {"title"}, "ol": {"start"}},
    allowed_classes={tag: set(names) for tag, names in OWN_CLASSES.items()},
    url_schemes=set(SCHEMES),
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
    strip_comments=True,
)


def markdown_html(text: str) -> str:
    """Return Markdown as HTML without scripts, styles, ids, forms, pictures or anything else that acts."""
    if len(text) < KEPT_MOST:
        return _kept(text)
    if len(text) > FORMATTED_MOST:
        return f"<pre>{esc(text)}</pre>"
    return "".join(_made(piece) for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    """Split a long text at empty lines outside of code: the parser's worst time grows with the square."""
    lines: list[str] = []
    size, is_code = 0, False
    for line in text.split("\n"):
        if line.lstrip().startswith(("```", "~~~")):
            is_code = not is_code
        lines.append(line)
        size += len(line) + 1
        if size >= PIECE_MOST and (size >= 2 * PIECE_MOST or (not line.strip() and not is_code)):
            yield "\n".join(lines)
            lines, size = [], 0
    yield "\n".join(lines)


def cleaned(html: str) -> str:
    """The last gate: only the tags, classes and links that `markdown_html` makes."""
    return _CLEANER.clean(html)


@lru_cache(maxsize=256)
def _kept(text: str) -> str:
    return _made(text)


def _made(text: str) -> str:
    if text.count("[") > BRACKETS_MOST or len(text) > 4 * PIECE_MOST:
        # The parser looks for the end of each of them: such a text is no prose.
        return f"<pre>{esc(text)}</pre>"
    return cleaned(_PARSER.render(text.replace("\0", "\ufffd")))


def link_is_safe(url: str) -> bool:
    """Whether a link may be followed: http, https and mailto alone."""
    return _SAFE.match(url) is not None


def _links(state: StateCore) -> None:
    """Make every link one that may be followed, or none; pictures become links; bare addresses too."""
    for block in state.tokens:
        if block.type == "inline" and block.children:
            block.children = _inline(block.children)


def _inline(tokens: list[Token]) -> list[Token]:
    out: list[Token] = []
    inside, dead = 0, [False]
    for token in tokens:
        if token.type == "link_open":
            inside += 1
            dead.append(not link_is_safe(str(token.attrs.get("href", ""))))
            out.append(_dead(token) if dead[-1] else token)
        elif token.type == "link_close":
            inside = max(0, inside - 1)
            if dead.pop() if len(dead) > 1 else False:
                token.tag = "span"
            out.append(token)
        elif token.type == "image":
            out += _picture(token, inside)
        elif token.type == "text" and not inside and "://" in token.content:
            out += _bare(token)
        else:
            out.append(token)
    return out


def _dead(token: Token) -> Token:
    """A link that leads nowhere here, like a path: its words, and where it led as a title."""
    href = str(token.attrs.get("href", ""))
    token.tag = "span"
    token.attrs = {"class": "tp-dead"}
    if not _SCHEME.match(href) or href.lower().startswith("file:"):
        token.attrs["title"] = href[:300]
    return token


def _picture(token: Token, inside: int) -> list[Token]:
    url, words = str(token.attrs.get("src", "")), token.content or "picture"
    if inside or not link_is_safe(url):
        return [_text(words)]
    return _link(url, f"{words} (picture)")


def _bare(token: Token) -> list[Token]:
    out: list[Token] = []
    at = 0
    for found in _BARE.finditer(token.content):
        url = found[0].rstrip(".,;:!?*_~'")
        if url.endswith(")") and "(" not in url:
            url = url.rstrip(")")
        if at < found.start():
            out.append(_text(token.content[at : found.start()]))
        out += _link(url, url)
        at = found.start() + len(url)
    if at < len(token.content):
        out.append(_text(token.content[at:]))
    return out


def _text(words: str) -> Token:
    token = Token("text", "", 0)
    token.content = words
    return token


def _link(url: str, words: str) -> list[Token]:
    return [Token("link_open", "a", 1, attrs={"href": url}), _text(words), Token("link_close", "a", -1)]


def _tasks(state: StateCore) -> None:
    """`- [x] done` as a ticked box."""
    tokens = state.tokens
    for number in range(2, len(tokens)):
        token = tokens[number]
        if token.type != "inline" or tokens[number - 2].type != "list_item_open" or not token.children:
            continue
        first = token.children[0]
        found = _TASK.match(first.content) if first.type == "text" else None
        if found:
            first.content = first.content[found.end() :]
            done = found[1] != " "
            box = Token("tp_task", "span", 0, meta={"done": done})
            token.children.insert(0, box)


class _Renderer(RendererHTML):
    """Code in colours under the name of its language; tables that scroll; alignment by class."""

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token = tokens[idx]
        words = token.info.strip().split(maxsplit=1)
        return _code(token.content, words[0] if words else "")

    def code_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return _code(tokens[idx].content, "")

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return '<div class="tp-table"><table>'

    def table_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return "</table></div>"

    def td_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f"<td{_aligned(tokens[idx])}>"

    def th_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f"<th{_aligned(tokens[idx])}>"

    def tp_task(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        done = tokens[idx].meta["done"]
        return f'<span class="{"tp-task-done" if done else "tp-task"}">{"☑" if done else "☐"} </span>'


def _aligned(token: Token) -> str:
    style = str(token.attrs.get("style", ""))
    for side in ("right", "center"):
        if side in style:
            return f' class="tp-{side}"'
    return ""


def _code(content: str, name: str) -> str:
    language = language_of(name)
    shown = language_name(language) if language else name[:30]
    label = f'<div class="tp-code-name">{esc(shown)}</div>' if shown else ""
    code = code_html(content.rstrip("\n"), language)
    return f'<div class="tp-code">{label}<pre><code class="hl">{code}</code></pre></div>\n'


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True, "maxNesting": 20},
                        renderer_cls=_Renderer)  # fmt: skip
    parser.enable(["table", "strikethrough"])
    # Every link passes here, and `_links` decides: a refused one would be shown as its source.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    parser.core.ruler.push("transcript_links", _links)
    parser.core.ruler.push("transcript_tasks", _tasks)
    return parser


_PARSER = _parser()
