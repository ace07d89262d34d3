"""YAML text to plain data, with the line of every key.

Reads untrusted files: no tags, no dates, no cycles, and a bound on how far
aliases may grow. Everything that comes out can be stored as JSON.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.representer import SafeRepresenter

SIZE_LIMIT_BYTES = 1_000_000
NODE_LIMIT = 20_000
DEPTH_LIMIT = 24

KeyPath: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file. `line` counts from 1; `key` is dotted, empty for the file as a whole."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}"
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class YamlRefused(ValueError):
    """A file was refused. `problems` names every reason found."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


@dataclass
class Document:
    """Plain data, and the line (from 1) on which each key stands."""

    file: str
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def complain(self, path: KeyPath, message: str) -> None:
        """Note a problem at `path`, or at its nearest parent that stands in the file."""
        at = path
        while at and at not in self.lines:
            at = at[:-1]
        self.problems.append(Problem(self.file, self.lines.get(at, 1), ".".join(path), message))


class _Unreadable(Exception):
    """The file cannot be read as one YAML document of bounded size."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        super().__init__(message)


class _BoundedComposer(Composer):
    """Stops at the first node too many, before time is spent on the rest."""

    kind: FileKind
    nodes = 0
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.nodes += 1
        self.depth += 1
        line = self.parser.peek_event().start_mark.line + 1
        if self.nodes > NODE_LIMIT:
            raise _Unreadable(
                line, f"more than {NODE_LIMIT} values; {self.kind.name} holds {self.kind.meant}, not data"
            )
        if self.depth > DEPTH_LIMIT:
            raise _Unreadable(line, f"nested more than {DEPTH_LIMIT} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


@dataclass(frozen=True)
class FileKind:
    """What a file is meant to hold, in the words of its refusals."""

    name: str  # a catalogue
    meant: str  # models
    expected: str  # `models:` with at least one model below it
    key: str  # models


CATALOGUE = FileKind("a catalogue", "models", "`models:` with at least one model below it", "models")


def yaml_load(text: bytes, filename: str, kind: FileKind = CATALOGUE) -> Document:
    """Read one YAML document whose outermost level is a mapping.

    YAML 1.2, with plain yes and no as booleans; merge keys (`<<`) are resolved, dates stay text.
    Raises YamlRefused: empty, over 1 MB, not UTF-8, malformed, several
    documents, a key twice, tags, cycles, or aliases that multiply.
    """
    document = Document(filename)
    try:
        root = _compose(_decode(text, kind), kind)
        if root is None:
            raise _Unreadable(1, f"the file is empty; expected {kind.expected}")
        document.data = _Builder(document).build(root, ())
    except _Unreadable as error:
        document.problems.append(Problem(filename, error.line, "", str(error)))
    if not document.problems and not isinstance(document.data, dict):
        found = kind_name(document.data)
        document.complain((), f"expected keys like `{kind.key}:` at the left margin, found {found}")
    if document.problems:
        raise YamlRefused(document.problems)
    return document


def yaml_dump(data: Any) -> bytes:
    """Write plain data as UTF-8, one key a line, quoted so that YAML 1.1 and 1.2 read the same."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _QuotingRepresenter
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.width = 4096
    buffer = io.BytesIO()
    yaml.dump(data, buffer)
    return buffer.getvalue()


class _QuotingRepresenter(SafeRepresenter):
    """Quotes text that YAML 1.1 would take for a boolean or a number in base 60; writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> Any:
        style = "'" if AMBIGUOUS.fullmatch(data) else None
        if UNSEEN_BREAK.search(data):
            style = '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    def represent_float(self, data: float) -> Any:
        # YAML 1.1 takes 1e-07 for text, 1.0e-07 for a number.
        text = repr(data)
        text = text if "." in text else text.replace("e", ".0e")
        return self.represent_scalar("tag:yaml.org,2002:float", text)


_QuotingRepresenter.add_representer(str, _QuotingRepresenter.represent_str)
_QuotingRepresenter.add_representer(float, _QuotingRepresenter.represent_float)


def kind_name(value: object) -> str:
    """The word an owner would use for a value's type, with short values quoted."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    word = "the text" if isinstance(value, str) else "the number"
    return f"{word} {value!r}" if len(repr(value)) <= 60 else word


def _decode(text: bytes, kind: FileKind) -> str:
    if len(text) > SIZE_LIMIT_BYTES:
        size = f"{len(text) / 1e6:.1f} MB"
        raise _Unreadable(1, f"the file has {size}; {kind.name} may have {SIZE_LIMIT_BYTES // 10**6} MB")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        byte = f"0x{text[error.start]:02x}"
        raise _Unreadable(line, f"byte {byte} is not UTF-8; save the file in UTF-8") from None


def _composer_of(kind: FileKind) -> type[Composer]:
    return type("Composer", (_BoundedComposer,), {"kind": kind})


def _compose(text: str, kind: FileKind) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _composer_of(kind)
    try:
        node: Node | None = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise _Unreadable(mark.line + 1 if mark else 1, f"not valid YAML: {said}") from None
    except YAMLError as error:
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
        said = str(error).splitlines()[0]
        raise _Unreadable(line, f"not valid YAML: {said}") from None
    return node


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2].lower(), 10)
    return sign * int(digits[2:] if base != 10 else digits, base)


def _real(text: str) -> float:
    value = float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _words(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the character NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("contains half of a surrogate pair, which is no character") from None
    return text


AMBIGUOUS = re.compile(r"(?i:y|n|yes|no|on|off)|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
# Characters that YAML takes for the end of a line, or drops, unless they are escaped.
UNSEEN_BREAK = re.compile("[\x85\u2028\u2029\ufeff]")
# Plain words that YAML 1.1, and with it the owners' earlier tools, reads as true and false.
YES_NO = {"yes": True, "on": True, "no": False, "off": False}

SCALARS: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": _real,
    "str": _words,
    "timestamp": _words,
    "value": _words,
}


class _Builder:
    """Walks the node tree once and writes down lines and problems on the way."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.built = 0
        self.open: set[int] = set()

    def build(self, node: Node, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        self.document.lines.setdefault(path, line)
        self.built += 1
        if self.built > NODE_LIMIT:
            raise _Unreadable(line, f"aliases grow to more than {NODE_LIMIT} values; write them out instead")
        if id(node) in self.open:
            raise _Unreadable(line, f"the anchor &{node.anchor} contains itself")
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        self.open.add(id(node))
        value = self._mapping(node, path) if isinstance(node, MappingNode) else self._sequence(node, path)
        self.open.discard(id(node))
        return value

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        if node.style is None and node.value.lower() in YES_NO:
            return YES_NO[node.value.lower()]
        convert = SCALARS.get(_tag_name(node))
        if convert is None:
            self.document.complain(path, f"the tag {node.tag} is not allowed; write plain text or a number")
            return None
        try:
            return convert(node.value)
        except ValueError as error:
            self.document.complain(path, str(error) if len(str(error)) < 80 else "is not a usable number")
            return None

    def _sequence(self, node: Node, path: KeyPath) -> list[Any]:
        if not isinstance(node, SequenceNode) or _tag_name(node) != "seq":
            self.document.complain(path, f"the tag {node.tag} is not allowed; write a plain list")
            return []
        return [self.build(child, (*path, str(index))) for index, child in enumerate(node.value)]

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        if _tag_name(node) != "map":
            self.document.complain(path, f"the tag {node.tag} is not allowed; write plain keys and values")
            return {}
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if _tag_name(key_node) == "merge":
                self._merge(value_node, path, merged)
                continue
            key = self._key(key_node, path, own)
            if key is not None:
                self.document.lines[(*path, key)] = key_node.start_mark.line + 1
                own[key] = self.build(value_node, (*path, key))
        return {**merged, **own}

    def _key(self, node: Node, path: KeyPath, taken: dict[str, Any]) -> str | None:
        line = node.start_mark.line + 1
        if not isinstance(node, ScalarNode) or _tag_name(node) not in ("str", "timestamp", "value"):
            shown = node.value if isinstance(node, ScalarNode) else "this key"
            message = f"expected text as key; write {shown!r} in quotes"
        elif node.value in taken:
            first = self.document.lines[(*path, node.value)]
            message = f"the key {node.value!r} stands here for the second time, first on line {first}"
        else:
            return str(node.value)
        self.document.problems.append(Problem(self.document.file, line, ".".join(path), message))
        return None

    def _merge(self, node: Node, path: KeyPath, into: dict[str, Any]) -> None:
        sources = node.value if isinstance(node, SequenceNode) else [node]
        for source in sources:
            value = self.build(source, path)
            if not isinstance(value, dict):
                self.document.complain(path, "`<<` takes a mapping, or a list of them")
                return
            for key, child in value.items():
                into.setdefault(key, child)


def _tag_name(node: Node) -> str:
    prefix = "tag:yaml.org,2002:"
    tag = str(node.tag)
    return tag.removeprefix(prefix) if tag.startswith(prefix) else tag
