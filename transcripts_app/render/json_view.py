"""A JSON value in colours, bounded in depth and length. No Django here."""

from __future__ import annotations

import json
import re
from typing import Any

from transcripts_app.render.values import Cut, cut, esc

DEPTH_MOST = 12
ITEMS_MOST = 200
TEXT_MOST = 4_000
WHOLE_TEXT_MOST = 200_000
BASE64_SHOWN = 60
LINE_MOST = 72

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')


def json_text(value: Any, *, whole: bool = False) -> str:
    """Return a JSON value, indented; what is nested deeply, or long, is shortened, and says so."""
    pruned = _pruned(value, DEPTH_MOST if not whole else 4 * DEPTH_MOST, whole)
    return _written(pruned, "")


def json_cut(value: Any, *, whole: bool = False, lines: int = 60) -> Cut:
    """Return `json_text`, cut."""
    return cut(json_text(value, whole=whole), whole, lines=lines, characters=8_000)


def json_html(text: str) -> str:
    """Return JSON text for HTML, escaped, its keys, texts, numbers and words in spans."""
    out, at = [], 0
    for found in _TOKEN.finditer(text):
        out.append(esc(text[at : found.start()]))
        at = found.end()
        token = found[0]
        if found[1]:
            out.append(f'<span class="nt">{esc(token[: -len(found[1])])}</span>{found[1]}')
        else:
            kind = "s" if token[0] == '"' else "kc" if token[0] in "tfn" else "m"
            out.append(f'<span class="{kind}">{esc(token)}</span>')
    out.append(esc(text[at:]))
    return "".join(out)


def _written(value: Any, indent: str) -> str:
    """Indented, but what fits into a short line stays in one."""
    line = json.dumps(value, ensure_ascii=False, default=str)
    if len(line) + len(indent) <= LINE_MOST or not isinstance(value, dict | list):
        return line
    inner = indent + "  "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _written(item, inner) for item in value) + f"\n{indent}]"
    rows = (
        f"{inner}{json.dumps(name, ensure_ascii=False)}: {_written(item, inner)}"
        for name, item in value.items()
    )
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"


def _pruned(value: Any, depth: int, whole: bool) -> Any:
    if isinstance(value, str):
        most = WHOLE_TEXT_MOST if whole else TEXT_MOST
        return value if len(value) <= most else f"{value[:most]}… ({len(value):,} characters)"
    if not isinstance(value, dict | list):
        return value
    if depth <= 0:
        return "{…}" if isinstance(value, dict) else "[…]"
    most = ITEMS_MOST * (50 if whole else 1)
    if isinstance(value, list):
        out = [_pruned(item, depth - 1, whole) for item in value[:most]]
        return [*out, f"… {len(value) - most:,} more"] if len(value) > most else out
    is_bytes = value.get("type") == "base64"
    pruned: dict[str, Any] = {}
    for number, (name, inner) in enumerate(value.items()):
        if number == most:
            pruned["…"] = f"{len(value) - most:,} more"
            break
        if is_bytes and name == "data" and isinstance(inner, str):
            inner = f"{inner[:BASE64_SHOWN]}… ({len(inner):,} characters of base64)"
        pruned[str(name)[:TEXT_MOST]] = _pruned(inner, depth - 1, whole)
    return pruned
