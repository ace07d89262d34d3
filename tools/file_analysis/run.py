"""Five operations on five formats. Standard library, and PyYAML, lxml and jsonschema where they are.

parse, validate, extract, transform, summarize  x  json, yaml, csv, xml, text
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import file_analysis_formats as formats
import file_analysis_queries as queries
import file_analysis_summary as summary
from file_analysis_formats import Refused

READ_MOST = 50_000_000
PRINTED_MOST = 200_000


def main() -> int:
    try:
        arguments = json.load(sys.stdin)
        result = analyse(arguments["arguments"], arguments.get("workspace"))
    except Refused as refused:
        return refuse(str(refused))
    except RecursionError:
        return refuse("The data is nested too deeply.")
    except MemoryError:
        return refuse("The data does not fit into this tool's memory.")
    text = (
        result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, indent=2, default=str)
    )
    cut = len(text) > PRINTED_MOST
    print(text[:PRINTED_MOST])
    if cut:
        print(f"… cut after {PRINTED_MOST} of {len(text)} characters")
    answer(result=None if cut else result)
    return 0


def analyse(arguments: dict[str, Any], workspace: str | None) -> Any:
    """What the operation comes to: text, or data for JSON."""
    text, name = content_of(arguments, workspace)
    kind = arguments["format"]
    kind = formats.guess(text, name) if kind == "auto" else kind
    operation = arguments["operation"]
    if operation == "validate":
        return formats.validate(text, kind, arguments)
    data = formats.parse(text, kind, arguments.get("delimiter"))
    if operation == "extract":
        if not arguments.get("query"):
            raise Refused("query is missing; extract needs it.")
        return queries.extract(text, data, kind, arguments["query"])
    if operation == "transform":
        return formats.write(data, kind, arguments["to"])
    if operation == "summarize":
        return summary.summarize(text, data, kind)
    return data


def content_of(arguments: dict[str, Any], workspace: str | None) -> tuple[str, str]:
    """The text to look at, and the name of its file."""
    content, path = arguments.get("content"), arguments.get("path")
    if content is not None and path is None:
        return str(content), ""
    if path is None or content is not None:
        raise Refused("Give either content or path.")
    root = os.path.realpath(workspace or "/tmp")
    place = os.path.realpath(os.path.join(root, path))
    if not place.startswith(root + os.sep):
        raise Refused(f"path {path!r} lies outside the workspace.")
    if not os.path.isfile(place):
        raise Refused(f"path {path!r}: there is no such file.")
    if os.path.getsize(place) > READ_MOST:
        raise Refused(f"{path} has more than {READ_MOST // 10**6} MB; look at it with a program.")
    with open(place, "rb") as file:
        data = file.read(READ_MOST)
    try:
        return data.decode("utf-8-sig"), path
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is not UTF-8: byte {data[error.start]:#04x} at {error.start}.") from None


def refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    answer(error=sentence)
    return 1


def answer(**fields: Any) -> None:
    """Tell the sandbox what came of it, beside what was printed."""
    try:
        with open(3, "w", encoding="utf-8", closefd=False) as pipe:
            json.dump(fields, pipe, default=str)
    except OSError:
        pass  # nobody listens: run by hand


if __name__ == "__main__":
    sys.exit(main())
