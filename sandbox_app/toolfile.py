"""TOOL.md to a definition, and a definition to what a run needs. Pure.

A TOOL.md is YAML front matter between two lines of `---`, then Markdown for the model
(docs/tools.md). Every key that is not known here is refused by name and line: a tool cannot ask
for what its author believes to exist.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from sandbox_app.exceptions import ArgumentsInvalid
from sandbox_app.job import Policy, Runner
from sandbox_app.schema import arguments_check, value_problems
from sandbox_app.tool_limits import limits_read
from sandbox_app.tool_parameters import parameters_check
from sparkweb.config import SANDBOX_IMAGE
from sparkweb.yaml_file import Document, FileKind, YamlRefused, kind_name, yaml_load

KIND = FileKind("a TOOL.md", "a tool", "`name:` and the other keys of a tool", "name")
SIZE_MOST_BYTES = 256 * 1024
INSTRUCTIONS_MOST = 32_000
DESCRIPTION_MOST = 4000
EXAMPLES_MOST = 50
EGRESS_MOST = 200
PARALLEL = (1, 1000)
KEYS = ("name", "description", "version", "enabled", "runner", "role", "approval", "parallel", "sandbox",
        "egress", "parameters", "examples")  # fmt: skip
NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
# Addresses below /tools/ that are pages of their own.
RESERVED = ("runs", "sessions", "audit", "services", "image", "selftest", "reload", "search", "new")
HOST_NAME = re.compile(
    r"\*|(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)
PROGRAM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
HOST = "host:"
# Programs on the node itself; there are no others, and no tool can bring one.
HOST_RUNNERS = ("web_fetch", "web_search")
# The least role that may run a tool; viewers run none.
ROLES = ("operator", "admin")


def tool_parse(text: bytes, files: Collection[str], filename: str = "TOOL.md") -> dict[str, Any]:
    """The definition of a TOOL.md; `files` are the paths in its folder, where the runner must lie.

    Raises YamlRefused with every problem found, each with line and key.
    """
    front, body = _parts(text, filename)
    document = yaml_load(front, filename, KIND)
    data: dict[str, Any] = document.data
    for key in data:
        if key not in KEYS:
            document.complain((key,), f"there is no such key; a tool may have {', '.join(KEYS)}")
    on_host = str(data.get("runner") or "").startswith(HOST)
    definition = {
        "name": _name(document, data),
        "description": _text(document, data, "description", DESCRIPTION_MOST),
        "version": _version(document, data),
        "enabled": _flag(document, data, "enabled", True),
        "instructions": _instructions(document, body),
        "runner": _runner(document, data, files),
        "sandbox": limits_read(document, data.get("sandbox"), on_host=on_host),
        "parameters": parameters_check(document, ("parameters",), data.get("parameters")),
        "egress": _egress(document, data, on_host),
        "approval": _flag(document, data, "approval", False),
        "role": _role(document, data),
        "parallel": _parallel(document, data),
    }
    if not document.problems:
        _check_values(document, definition)
        definition["examples"] = _examples(document, data, definition)
    if document.problems:
        raise YamlRefused(sorted(document.problems, key=lambda problem: problem.line))
    return definition


def policy_of(definition: Mapping[str, Any], overrides: Mapping[str, Any]) -> Policy:
    """Everything that bounds a run: the TOOL.md's limits, the owner's before them."""
    fields = {"image": SANDBOX_IMAGE, **(definition.get("sandbox") or {})}
    for key in ("timeout_seconds", "memory_bytes", "cpu_percent"):
        if overrides.get(key) is not None:
            fields[key] = overrides[key]
    egress = overrides.get("egress")
    fields["egress"] = tuple(definition.get("egress") or () if egress is None else egress)
    return Policy(**fields)


def runner_of(definition: Mapping[str, Any]) -> tuple[Runner, str]:
    """Where a tool runs, and which program: ("container", "run.py") or ("host", "web_fetch")."""
    runner = str(definition["runner"])
    return ("host", runner.removeprefix(HOST)) if runner.startswith(HOST) else ("container", runner)


def egress_problem(hosts: Any) -> str | None:
    """What is wrong with an allow-list of host names, in words; None for a good one."""
    if not isinstance(hosts, list) or len(hosts) > EGRESS_MOST:
        return f"expected a list of at most {EGRESS_MOST} host names, found {kind_name(hosts)}"
    for host in hosts:
        if not isinstance(host, str) or len(host) > 253 or not HOST_NAME.fullmatch(host):
            return f"expected host names such as example.com, *.example.com or *, found {kind_name(host)}"
    return None


def _parts(text: bytes, filename: str) -> tuple[bytes, bytes]:
    """Front matter and body. The front matter keeps its place, so that its lines keep their numbers."""
    document = Document(filename)
    if len(text) > SIZE_MOST_BYTES:
        document.complain(
            (), f"has {len(text) // 1024} KiB; a TOOL.md may have {SIZE_MOST_BYTES // 1024} KiB"
        )
        raise YamlRefused(document.problems)
    lines = text.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    ends = [place for place, line in enumerate(lines) if line.rstrip() == b"---"]
    if not ends or ends[0] != 0 or len(ends) < 2:
        document.complain((), "expected YAML between two lines of `---` at the top of the file")
        raise YamlRefused(document.problems)
    return b"\n" + b"".join(lines[1 : ends[1]]), b"".join(lines[ends[1] + 1 :])


def _name(document: Document, data: dict[str, Any]) -> str:
    name = data.get("name")
    if name in RESERVED:
        document.complain(("name",), f"{name!r} is the name of a page of SparkWeb; choose another")
        return ""
    if isinstance(name, str) and NAME.fullmatch(name):
        return name
    expected = "lower-case letters, digits, - and _, a letter first, at most 64"
    document.complain(("name",), f"expected {expected}, found {kind_name(name)}")
    return ""


def _text(document: Document, data: dict[str, Any], key: str, most: int) -> str:
    value = data.get(key)
    if isinstance(value, str) and 0 < len(value.strip()) <= most:
        return value.strip()
    document.complain((key,), f"expected text of at most {most} characters, found {kind_name(value)}")
    return ""


def _version(document: Document, data: dict[str, Any]) -> str:
    value = "" if data.get("version") is None else str(data["version"])
    if len(value) > 40 or not value.isprintable():
        document.complain(("version",), "expected at most 40 characters on one line")
        return ""
    return value


def _instructions(document: Document, body: bytes) -> str:
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        document.complain((), "the text below the front matter is not UTF-8")
        return ""
    if len(text) > INSTRUCTIONS_MOST or "\x00" in text:
        document.complain(
            (), f"the text below the front matter: at most {INSTRUCTIONS_MOST} characters, no NUL"
        )
        return ""
    return text


def _runner(document: Document, data: dict[str, Any], files: Collection[str]) -> str:
    runner = data.get("runner")
    if runner is None:
        document.complain(
            ("runner",), "missing; expected the program beside this file that is to run, like run.py"
        )
    elif not isinstance(runner, str):
        document.complain(("runner",), f"expected a file's name, found {kind_name(runner)}")
    elif runner.startswith(HOST):
        if runner.removeprefix(HOST) not in HOST_RUNNERS:
            known = ", ".join(HOST + name for name in HOST_RUNNERS)
            document.complain(("runner",), f"{runner!r}: on the host there are {known} and no others")
    elif not PROGRAM.fullmatch(runner) or runner not in files:
        document.complain(("runner",), f"there is no file {runner[:100]!r} in this folder")
    else:
        return runner
    return str(runner or "")


def _flag(document: Document, data: dict[str, Any], key: str, default: bool) -> bool:
    value = data.get(key)
    if value is None or isinstance(value, bool):
        return default if value is None else value
    document.complain((key,), f"expected true or false, found {kind_name(value)}")
    return default


def _role(document: Document, data: dict[str, Any]) -> str:
    role = data.get("role") or "operator"
    if role not in ROLES:
        document.complain(("role",), f"expected one of {', '.join(ROLES)}, found {kind_name(role)}")
        return "operator"
    return str(role)


def _parallel(document: Document, data: dict[str, Any]) -> int:
    value = data.get("parallel", 8)
    low, high = PARALLEL
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        expected = f"a whole number from {low} to {high}"
        document.complain(("parallel",), f"expected {expected}, found {kind_name(value)}")
        return 8
    return value


def _egress(document: Document, data: dict[str, Any], on_host: bool) -> list[str]:
    hosts = data.get("egress")
    if hosts is None:
        return []
    if problem := egress_problem(hosts):
        document.complain(("egress",), problem)
        return []
    if hosts and not on_host:
        document.complain(("egress",), "a container has no network; only runners on the host (host:…) fetch")
    return list(hosts)


def _check_values(document: Document, definition: dict[str, Any]) -> None:
    """Defaults and enums must be what their own parameter takes."""
    for place, parameter in enumerate(definition["parameters"]):
        path = ("parameters", str(place))
        bare = {key: value for key, value in parameter.items() if key not in ("enum", "default")}
        for member in parameter.get("enum") or ():
            for problem in value_problems(bare, member, kind_name(member)):
                document.complain((*path, "enum"), problem)
        if parameter.get("default") is not None:
            for problem in value_problems(parameter, parameter["default"], "it"):
                document.complain((*path, "default"), problem)


def _examples(document: Document, data: dict[str, Any], definition: dict[str, Any]) -> list[dict[str, Any]]:
    raw = data.get("examples") or []
    if not isinstance(raw, list) or len(raw) > EXAMPLES_MOST:
        document.complain(
            ("examples",), f"expected a list of at most {EXAMPLES_MOST}, found {kind_name(raw)}"
        )
        return []
    kept = []
    for place, entry in enumerate(raw):
        path = ("examples", str(place))
        if not isinstance(entry, dict) or not set(entry) <= {"input", "output", "description"}:
            document.complain(path, "expected input, and besides it at most output and description")
            continue
        try:
            arguments_check(definition, entry.get("input"))
        except ArgumentsInvalid as error:
            document.complain((*path, "input"), " ".join(error.problems))
        kept.append(entry)
    return kept
