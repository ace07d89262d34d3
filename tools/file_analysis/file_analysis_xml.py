"""XML without surprises: a document's own entities are refused, so nothing expands or is fetched."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

DEPTH_MOST = 500
NAME = re.compile(r"[A-Za-z_][\w.-]*")
# Characters that XML 1.0 cannot hold, not even escaped.
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Unreadable(Exception):
    """Why a document is not taken."""


def read(text: str) -> ElementTree.Element:
    """The root element. Raises Unreadable for what is malformed, declares entities or is too deep."""
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH_MOST:
            raise Unreadable(f"The XML is nested more than {DEPTH_MOST} levels deep.")
        builder.start(_qualified(name), {_qualified(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_qualified(name))

    def entity(name: str, *_: object) -> None:
        raise Unreadable(f"The XML declares the entity {name!r}; entities of a document's own are refused.")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data

    def skipped(name: str, *_: object) -> None:
        raise Unreadable(f"Not valid XML: the entity {name!r} is not known here.")

    parser.EntityDeclHandler, parser.SkippedEntityHandler = entity, skipped
    parser.ExternalEntityRefHandler = lambda *_: 0
    parser.buffer_text = True
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as error:
        said = expat.ErrorString(error.code)
        raise Unreadable(f"Not valid XML, line {error.lineno}, column {error.offset + 1}: {said}.") from None
    return builder.close()


def _qualified(name: str) -> str:
    return "{" + name if "}" in name else name


def local(name: str) -> str:
    """A name without its namespace."""
    return name.rsplit("}", 1)[-1]


def plain(root: Any) -> dict[str, Any]:
    """An element as plain data: attributes as @name, text as #text, repeated children as lists."""
    return {local(root.tag): _plain(root)}


def _plain(element: ElementTree.Element) -> Any:
    text = (element.text or "").strip()
    if not len(element) and not element.attrib:
        return text or None
    made: dict[str, Any] = {"@" + local(name): value for name, value in element.attrib.items()}
    for child in element:
        name, value = local(child.tag), _plain(child)
        if name in made:
            made[name] = made[name] if isinstance(made[name], list) else [made[name]]
            made[name].append(value)
        else:
            made[name] = value
    tails = " ".join(filter(None, ((child.tail or "").strip() for child in element)))
    joined = " ".join(filter(None, (text, tails)))
    if joined:
        made["#text"] = joined
    return made


def write(name: str, data: Any) -> str:
    """Plain data as a document; the inverse of plain()."""
    root = _element(name, data)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def _element(name: str, data: Any) -> ElementTree.Element:
    fits = NAME.fullmatch(name) is not None
    element = ElementTree.Element(name if fits else "item")
    if not fits:
        element.set("name", _text(name))
    if isinstance(data, dict):
        for key, value in data.items():
            _child(element, str(key), value)
    elif isinstance(data, list):
        for value in data:
            element.append(_element("item", value))
    elif data is not None:
        element.text = _text(data)
    return element


def _child(element: ElementTree.Element, key: str, value: Any) -> None:
    if key == "#text":
        element.text = _text(value)
    elif key.startswith("@") and NAME.fullmatch(key[1:]) and not isinstance(value, (dict, list)):
        element.set(key[1:], _text(value))
    elif isinstance(value, list):
        for each in value:
            element.append(_element(key, each))
    else:
        element.append(_element(key, value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return NO_XML.sub("\ufffd", "" if value is None else str(value))
