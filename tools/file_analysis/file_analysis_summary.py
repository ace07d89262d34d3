"""What is in it, in numbers: one summary for each format."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import file_analysis_formats as formats
import file_analysis_xml as xml

SHOWN_MOST = 20


def summarize(text: str, data: Any, kind: str) -> dict[str, Any]:
    """Size, and what the format has to tell."""
    size = {
        "format": kind,
        "characters": len(text),
        "lines": text.count("\n") + (not text.endswith("\n") and bool(text)),
    }
    if kind == "csv":
        return {**size, **table(data)}
    if kind == "xml":
        return {**size, **elements(text)}
    if kind == "text":
        return {**size, **words(text, data)}
    return {**size, **tree(data)}


def tree(data: Any) -> dict[str, Any]:
    """Depth, counts by type, and the outermost names of JSON or YAML."""
    kinds: Counter[str] = Counter()
    deepest, waiting = 0, [(data, 1)]
    while waiting:
        value, depth = waiting.pop()
        kinds[kind_of(value)] += 1
        deepest = max(deepest, depth)
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        waiting.extend((child, depth + 1) for child in inner)
    told = {"type": kind_of(data), "depth": deepest, "values": dict(kinds.most_common())}
    if isinstance(data, dict):
        told["keys"] = {str(name): kind_of(value) for name, value in list(data.items())[:SHOWN_MOST]}
        told["key_count"] = len(data)
    if isinstance(data, list):
        told["entries"] = len(data)
        names = Counter(name for row in data if isinstance(row, dict) for name in row)
        if names:
            told["keys_of_entries"] = {str(name): count for name, count in names.most_common(SHOWN_MOST)}
    return told


def kind_of(value: Any) -> str:
    """JSON's word for a type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "string"


def table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Each column: how many cells are filled, its type, and figures of numbers."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {"rows": len(rows), "columns": {name: column([row.get(name) for row in rows]) for name in names}}


def column(cells: list[Any]) -> dict[str, Any]:
    filled = [cell for cell in cells if cell not in (None, "")]
    numbers = [number for number in map(formats.number_of, filled) if number is not None]
    told = {"filled": len(filled), "empty": len(cells) - len(filled), "distinct": len(set(filled))}
    if filled and len(numbers) == len(filled):
        ordered = sorted(numbers)
        half = len(ordered) // 2
        median = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
        mean = sum(numbers) / len(numbers)
        return {
            "type": "number",
            **told,
            "min": ordered[0],
            "max": ordered[-1],
            "mean": mean,
            "median": median,
        }
    common = Counter(filled).most_common(5)
    return {
        "type": "text",
        **told,
        "most_common": [{"value": value[:100], "count": count} for value, count in common],
    }


def elements(text: str) -> dict[str, Any]:
    """Elements by name, attributes, and depth of XML."""
    root = formats.root_of(text)
    names: Counter[str] = Counter()
    attributes: Counter[str] = Counter()
    deepest, waiting = 0, [(root, 1)]
    while waiting:
        element, depth = waiting.pop()
        names[xml.local(element.tag)] += 1
        attributes.update(xml.local(name) for name in element.attrib)
        deepest = max(deepest, depth)
        waiting.extend((child, depth + 1) for child in element)
    return {
        "root": xml.local(root.tag),
        "depth": deepest,
        "elements": dict(names.most_common(SHOWN_MOST)),
        "element_count": sum(names.values()),
        "attributes": dict(attributes.most_common(SHOWN_MOST)),
    }


def words(text: str, lines: list[str]) -> dict[str, Any]:
    """Words, the longest line, and the words that come most."""
    found = re.findall(r"[^\W\d_]+", text.lower())
    return {
        "words": len(text.split()),
        "distinct_words": len(set(found)),
        "longest_line": max(map(len, lines), default=0),
        "empty_lines": sum(not line.strip() for line in lines),
        "most_common": [
            {"word": word, "count": count}
            for word, count in Counter(word for word in found if len(word) > 3).most_common(10)
        ],
    }
