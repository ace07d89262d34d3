"""Reading, checking and writing the five formats. What comes in is not trusted."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import file_analysis_xml as xml

NODES_MOST = 1_000_000
ENDINGS = {
    "json": "json",
    "yaml": "yaml",
    "yml": "yaml",
    "csv": "csv",
    "tsv": "csv",
    "xml": "xml",
    "txt": "text",
}
NOT_JSON = re.compile(r"\bNaN\b|\bInfinity\b")
csv.field_size_limit(10_000_000)


class Refused(Exception):
    """What cannot be read, found or written, as a sentence."""


def guess(text: str, name: str) -> str:
    """The format, by the ending of the file's name, else by how the text begins."""
    ending = ENDINGS.get(name.rsplit(".", 1)[-1].lower()) if "." in name else None
    if ending:
        return ending
    start = text.lstrip()[:1]
    if start in ("{", "["):
        return "json"
    if start == "<":
        return "xml"
    if text.startswith("---") or re.match(r"[\w-]+:(\s|$)", text.lstrip()):
        return "yaml"
    lines = text.splitlines()[:5]
    commas = {line.count(",") for line in lines if line}
    return "csv" if len(lines) > 1 and len(commas) == 1 and commas != {0} else "text"


def parse(text: str, kind: str, delimiter: str | None = None) -> Any:
    """The data: plain values for JSON and YAML, rows for CSV, nested objects for XML, lines for text."""
    if kind == "json":
        return parse_json(text)
    if kind == "yaml":
        return parse_yaml(text)
    if kind == "csv":
        return rows_of(text, delimiter)
    if kind == "xml":
        return xml.plain(root_of(text))
    return text.splitlines()


def parse_json(text: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no value of JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise Refused(f"Not valid JSON, line {error.lineno}, column {error.colno}: {error.msg}.") from None
    except ValueError as error:
        raise Refused(f"Not valid JSON: {error}.") from None


def yaml_module() -> Any:
    try:
        import yaml
    except ImportError:
        raise Refused("This sandbox image has no PyYAML, so YAML cannot be read.") from None
    return yaml


def parse_yaml(text: str) -> Any:
    yaml = yaml_module()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = list(yaml.load_all(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Refused(f"Not valid YAML{where}: {getattr(error, 'problem', None) or error}.") from None
    except ValueError as error:
        raise Refused(f"Not valid YAML: {error}.") from None
    data = documents[0] if len(documents) == 1 else documents
    bounded(data)
    return data


def bounded(data: Any) -> None:
    """Refuse what grows by aliases beyond a bound, or contains itself."""
    waiting: list[tuple[Any, tuple[int, ...]]] = [(data, ())]
    count = 0
    while waiting:
        value, above = waiting.pop()
        count += 1
        if count > NODES_MOST:
            raise Refused(f"The aliases of this YAML grow to more than {NODES_MOST} values.")
        if isinstance(value, (dict, list)):
            if id(value) in above or len(above) > 200:
                raise Refused("An anchor of this YAML contains itself, or it is nested too deeply.")
            inner = value.values() if isinstance(value, dict) else value
            waiting.extend((child, (*above, id(value))) for child in inner)


def dialect_of(text: str, delimiter: str | None) -> str:
    if delimiter:
        return delimiter
    try:
        return csv.Sniffer().sniff(text[:8192], delimiters=",;\t|").delimiter
    except csv.Error:
        return ","


def table_of(text: str, delimiter: str | None) -> list[list[str]]:
    """Every row of a CSV as a list of cells; empty lines are left out."""
    try:
        reader = csv.reader(io.StringIO(text), delimiter=dialect_of(text, delimiter), strict=True)
        return [row for row in reader if row]
    except csv.Error as error:
        raise Refused(f"Not valid CSV: {error}.") from None


def rows_of(text: str, delimiter: str | None) -> list[dict[str, Any]]:
    """Rows as objects by the names of the first row; surplus cells have the name of their number."""
    table = table_of(text, delimiter)
    if not table:
        return []
    names = header_of(table[0])
    rows = []
    for cells in table[1:]:
        row = {name: cells[place] if place < len(cells) else None for place, name in enumerate(names)}
        row.update({str(place + 1): cells[place] for place in range(len(names), len(cells))})
        rows.append(row)
    return rows


def header_of(cells: list[str]) -> list[str]:
    """Names of the columns, each once."""
    names = []
    for place, cell in enumerate(cells):
        name = cell.strip() or str(place + 1)
        names.append(f"{name} ({place + 1})" if name in names else name)
    return names


def root_of(text: str) -> ElementTree.Element:
    try:
        return xml.read(text)
    except xml.Unreadable as error:
        raise Refused(str(error)) from None


# Validate --------------------------------------------------------------------------


def validate(text: str, kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Whether the content is what it says, and what is wrong with it."""
    problems = []
    try:
        data = parse(text, kind, arguments.get("delimiter"))
    except Refused as refused:
        return {"format": kind, "valid": False, "problems": [str(refused)]}
    if kind == "csv":
        problems += csv_problems(text, arguments.get("delimiter"))
    if kind == "text":
        problems += text_problems(text)
    if arguments.get("schema") is not None:
        problems += schema_problems(data, arguments["schema"])
    return {"format": kind, "valid": not problems, "problems": problems}


def csv_problems(text: str, delimiter: str | None) -> list[str]:
    table = table_of(text, delimiter)
    if not table:
        return ["There are no rows."]
    width, problems = len(table[0]), []
    named = [cell.strip() for cell in table[0]]
    problems += [
        f"The column {name!r} stands there twice."
        for name in sorted({n for n in named if named.count(n) > 1})
    ]
    for number, row in enumerate(table[1:], 2):
        if len(row) != width:
            problems.append(f"Row {number} has {len(row)} cells, the first row {width}.")
    return problems[:50]


def text_problems(text: str) -> list[str]:
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        odd = next((char for char in line if not char.isprintable() and char not in "\t\x0c"), None)
        if odd is not None:
            problems.append(f"Line {number} contains the character U+{ord(odd):04X}.")
    return problems[:50]


def schema_problems(data: Any, schema: Any) -> list[str]:
    try:
        from jsonschema import Draft202012Validator, SchemaError
    except ImportError:
        raise Refused(
            "This sandbox image has no jsonschema, so nothing can be held against a schema."
        ) from None
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise Refused(f"schema is no JSON Schema: {error.message[:300]}.") from None
    errors = Draft202012Validator(schema).iter_errors(json.loads(json.dumps(data, default=str)))
    return [f"{error.json_path}: {error.message[:300]}" for error in itertools.islice(errors, 50)]


# Write -----------------------------------------------------------------------------


def write(data: Any, kind: str, to: str) -> str:
    """The data as text in another format."""
    return WRITERS[to](data, kind)


def write_json(data: Any, _kind: str) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2, default=str)


def write_yaml(data: Any, _kind: str) -> str:
    yaml = yaml_module()
    plain = json.loads(json.dumps(data, default=str))
    return yaml.safe_dump(plain, allow_unicode=True, sort_keys=False)


def write_csv(data: Any, kind: str) -> str:
    rows = table_rows(data, kind)
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def table_rows(data: Any, kind: str) -> list[dict[str, Any]]:
    """Data as rows with names: a list of objects as it is, anything else made into one."""
    if kind == "xml":
        inner = next(iter(data.values())) if isinstance(data, dict) and len(data) == 1 else data
        lists = (
            [value for value in inner.values() if isinstance(value, list)] if isinstance(inner, dict) else []
        )
        data = lists[0] if lists else inner
    if isinstance(data, dict):
        data = [data]
    if not isinstance(data, list):
        data = [data]
    return [row if isinstance(row, dict) else {"value": row} for row in data]


def cell(value: Any) -> Any:
    """A value as one cell of a table."""
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value


def write_xml(data: Any, kind: str) -> str:
    if kind == "xml":
        ((name, inner),) = data.items()
        return xml.write(name, inner)
    return xml.write("data", {"item": data} if isinstance(data, list) else data)


def write_text(data: Any, kind: str) -> str:
    if kind == "text":
        return "\n".join(data)
    lines = []
    for path, value in leaves(data, "$"):
        lines.append(f"{path} = {value if isinstance(value, str) else json.dumps(value, default=str)}")
    return "\n".join(lines)


def leaves(data: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each value that holds no other, with its path."""
    if isinstance(data, dict) and data:
        for name, child in data.items():
            yield from leaves(child, f"{path}.{name}")
    elif isinstance(data, list) and data:
        for place, child in enumerate(data):
            yield from leaves(child, f"{path}[{place}]")
    else:
        yield path, data


def number_of(text: Any) -> float | None:
    """A cell as a number, or None."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


WRITERS = {"json": write_json, "yaml": write_yaml, "csv": write_csv, "xml": write_xml, "text": write_text}
