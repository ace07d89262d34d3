"""Taking a part out: JSONPath, XPath, columns, regular expressions."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import file_analysis_formats as formats
import file_analysis_jsonpath as jsonpath
import file_analysis_xml as xml
from file_analysis_formats import Refused

FOUND_MOST = 10_000


def extract(text: str, data: Any, kind: str, query: str) -> dict[str, Any]:
    """Everything that the query finds, as {"query", "count", "matches"}."""
    if kind in ("json", "yaml"):
        try:
            found = jsonpath.find(data, query)
        except jsonpath.Invalid as error:
            raise Refused(f"query is no JSONPath: {error}.") from None
    elif kind == "xml":
        found = xpath(text, query)
    elif kind == "csv":
        found = columns(data, query)
    else:
        found = pattern(text, query)
    return {"query": query, "count": len(found), "matches": found[:FOUND_MOST]}


def xpath(text: str, query: str) -> list[Any]:
    """Elements, attributes and texts that an XPath names; with lxml all of XPath 1.0."""
    root = formats.root_of(text)
    try:
        from lxml import etree
    except ImportError:
        return _xpath_small(root, query)
    # formats.root_of has refused entities; this parser would not resolve them either.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    tree = etree.fromstring(text.encode("utf-8", "surrogatepass"), parser)
    names = {key: value for key, value in tree.nsmap.items() if key}
    try:
        found = tree.xpath(query, namespaces=names)
    except etree.XPathError as error:
        raise Refused(f"query is no XPath: {error}.") from None
    found = found if isinstance(found, list) else [found]
    return [_shown(each) for each in found]


def _xpath_small(root: ElementTree.Element, query: str) -> list[Any]:
    """What the standard library knows of XPath; the image has no lxml."""
    path, _, attribute = query.partition("/@")
    path = path if path else "."
    if path.startswith("/") and not path.startswith("//"):
        steps = path.lstrip("/").split("/", 1)
        if steps[0] not in (xml.local(root.tag), root.tag, "*"):
            return []
        path = steps[1] if len(steps) > 1 else "."
    elif path.startswith("//"):
        path = "." + path
    wants_text = path.endswith("/text()")
    path = path.removesuffix("/text()")
    try:
        found = root.findall(path or ".")
    except (SyntaxError, KeyError, TypeError) as error:
        raise Refused(f"query is no XPath that this image knows: {error}.") from None
    if attribute:
        return [each.get(attribute) for each in found if each.get(attribute) is not None]
    return [each.text or "" for each in found] if wants_text else [_shown(each) for each in found]


def _shown(found: Any) -> Any:
    if isinstance(found, (str, int, float, bool)):
        return found
    if isinstance(found, ElementTree.Element):
        return xml.plain(found)
    tag = getattr(found, "tag", None)
    if isinstance(tag, str):
        return xml.plain(found)
    return str(getattr(found, "text", found))


def columns(rows: list[dict[str, Any]], query: str) -> list[Any]:
    """Columns by name or by number from 1, separated by commas: values for one, objects for several."""
    names = list(rows[0]) if rows else []
    wanted = []
    for word in [query] if query in names else [part.strip() for part in query.split(",")]:
        if word in names:
            wanted.append(word)
        elif word.isdigit() and 1 <= int(word) <= len(names):
            wanted.append(names[int(word) - 1])
        else:
            raise Refused(f"There is no column {word!r}; there are {', '.join(names) or 'none'}.")
    if len(wanted) == 1:
        return [row.get(wanted[0]) for row in rows]
    return [{name: row.get(name) for name in wanted} for row in rows]


def pattern(text: str, query: str) -> list[dict[str, Any]]:
    """What a regular expression finds, line by line: the match, or its groups where it has some."""
    try:
        compiled = re.compile(query)
    except (re.error, OverflowError, RecursionError) as error:
        raise Refused(f"query is no regular expression: {error}.") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for match in compiled.finditer(line):
            groups = match.groupdict() or list(match.groups())
            found.append({"line": number, "match": match[0], **({"groups": groups} if groups else {})})
            if len(found) >= FOUND_MOST:
                return found
    return found
