"""Keeps values, tables and files of a session in its workspace. Standard library alone.

/workspace/.data/<namespace>.sqlite3   values (table kv) and the tables of `query`
/workspace/                            files
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import data_storage_database as database
import data_storage_files as files

PRINTED_MOST = 4_000_000
RESULT_MOST = 200_000  # the sandbox takes no more than 1 MiB; what is longer is printed alone

Operation = Callable[[str, dict[str, Any]], Any]


class Told(Exception):
    """What cannot be done, as a sentence."""


def main() -> int:
    request = json.load(sys.stdin)
    try:
        if not request.get("workspace"):
            raise Told("data_storage keeps things in a session: call it with one.")
        result = OPERATIONS[request["arguments"]["operation"]](request["workspace"], request["arguments"])
        text = json.dumps(result, ensure_ascii=False, allow_nan=False, default=str)
        if len(text) > PRINTED_MOST:
            raise Told("The answer is too large; ask for less at a time.")
    except (Told, database.Refused, files.Refused) as refused:
        return refuse(str(refused))
    except OSError as error:
        return refuse(f"{os.path.basename(error.filename or '') or 'The workspace'}: {error.strerror}.")
    except (RecursionError, MemoryError, ValueError) as error:
        return refuse(f"That is more than can be held: {type(error).__name__}.")
    print(text)
    if len(text) <= RESULT_MOST:
        answer(result=result)
    return 0


def with_database(do: Callable[[database.Database, dict[str, Any]], Any]) -> Operation:
    def run(workspace: str, arguments: dict[str, Any]) -> Any:
        with database.Database(workspace, arguments["namespace"]) as opened:
            return do(opened, arguments)

    return run


def need(arguments: dict[str, Any], name: str) -> Any:
    if arguments.get(name) is None:
        raise Told(f"{name} is missing; {arguments['operation']} needs it.")
    return arguments[name]


def do_get(opened: database.Database, arguments: dict[str, Any]) -> dict[str, Any]:
    key = need(arguments, "key")
    found = opened.get(key)
    if found is None:
        raise Told(f"There is no value named {key!r} in the namespace {arguments['namespace']}.")
    return {"key": key, "value": found}


def do_set(opened: database.Database, arguments: dict[str, Any]) -> dict[str, Any]:
    key = need(arguments, "key")
    opened.put(key, need(arguments, "value"), arguments.get("ttl_seconds"))
    return {"key": key, "stored": True}


def do_delete(opened: database.Database, arguments: dict[str, Any]) -> dict[str, Any]:
    key = need(arguments, "key")
    return {"key": key, "deleted": opened.delete(key)}


def do_list(opened: database.Database, arguments: dict[str, Any]) -> dict[str, Any]:
    names = opened.names(arguments.get("key") or "")
    return {"keys": names, "count": len(names)}


def do_query(opened: database.Database, arguments: dict[str, Any]) -> dict[str, Any]:
    return opened.query(need(arguments, "sql"), arguments.get("params") or [])


def do_file_read(workspace: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return files.read(workspace, need(arguments, "path"), arguments["encoding"])


def do_file_write(workspace: str, arguments: dict[str, Any]) -> dict[str, Any]:
    content = need(arguments, "content")
    return files.write(
        workspace, need(arguments, "path"), content, arguments["encoding"], arguments["append"]
    )


def do_file_list(workspace: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return files.listing(workspace, arguments.get("path") or ".")


OPERATIONS = {
    "get": with_database(do_get),
    "set": with_database(do_set),
    "delete": with_database(do_delete),
    "list": with_database(do_list),
    "query": with_database(do_query),
    "file_read": do_file_read,
    "file_write": do_file_write,
    "file_list": do_file_list,
}


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
