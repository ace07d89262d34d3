"""Copies of the chain's head outside the database: in the log, in a file, and on every node.

A chain that was cut off at its end, or a database restored from an old backup, is whole in itself; only
somebody who remembers a later head can tell. The file lies in the data folder, each node keeps the newest
that it was told (sandbox_app/node/audit_heads.py) and reports it each second.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.utils import timezone

from metrics_app.alerts.events import Event
from metrics_app.alerts.services import event_clear, event_raise
from metrics_app.models import Node
from metrics_app.selectors import node_snapshots
from sandbox_app.models_audit import AuditHead, AuditRecord
from sparkweb import config
from sparkweb.installation import installation_read
from sparkweb.node_link import commands

log = structlog.get_logger(__name__)

EVENTS = {"audit_broken": Event("The tool audit does not hold")}
AUDIT_URL = "/tools/audit/"
FILE_LINES_MOST = 4_000
FILE_LINES_KEPT = 2_000
COPIES_AT_ONCE = 400
_agreed: dict[str, tuple[int, str]] = {}
_rolled_back: dict[str, bool] = {}


@dataclass(frozen=True)
class HeadCopy:
    """Where the chain ended once, and who remembers it."""

    number: int
    mac: str
    source: str


def heads_file() -> Path:
    return Path(settings.DATA_DIR) / "audit_heads"


def head_copy() -> bool:
    """Copy the head to the log and the file if it moved, and to all nodes. Returns whether it moved."""
    head = AuditHead.objects.filter(pk=1).first()
    if head is None or not head.number:
        return False
    return head_tell(head.number, head.mac)


def head_tell(number: int, mac: str, *, accept: bool = False) -> bool:
    """Copy one head to the log and the file if it is newer, and to all nodes; `accept` overrides theirs."""
    copies = file_copies()
    moved = not copies or copies[-1].number < number
    if moved:
        log.info("audit head", number=number, mac=mac)
        _file_append(number, mac)
    told = {"installation": _installation(), "number": number, "mac": mac, "accept": accept}
    for name in Node.objects.values_list("name", flat=True):
        commands.send(name, "sandbox.audit_head", **told)
    return moved


def copies_known() -> list[HeadCopy]:
    """Return every copy within reach: the file's, and what nodes told in their newest report."""
    return file_copies() + node_copies()


def file_copies() -> list[HeadCopy]:
    """Return the copies of the data folder, oldest first; lines that are none are left out."""
    try:
        lines = heads_file().read_text().splitlines()
    except FileNotFoundError:
        return []
    read = (_copy_read(_json(line), "the file audit_heads") for line in lines)
    return [copy for copy in read if copy]


def node_copies() -> list[HeadCopy]:
    """Return the head that each node told last."""
    snapshots = node_snapshots(list(Node.objects.values_list("name", flat=True)))
    read = (
        _copy_read((snapshot["report"] or {}).get("audit_head"), f"node {name}")
        for name, snapshot in snapshots.items()
        if snapshot
    )
    return [copy for copy in read if copy]


def head_reported(node_name: str, section: Any, _report: dict[str, Any]) -> None:
    """Report handler: a node's copy must be an entry of our chain. Looked up when it changes."""
    copy = _copy_read(section, f"node {node_name}")
    if copy is None:
        return
    _rollback_tell(node_name, section)
    if _agreed.get(node_name) == (copy.number, copy.mac):
        return
    problem = copy_problem(copy)
    if problem:
        event_raise(event="audit_broken", node_name=node_name, subject="head", message=problem, url=AUDIT_URL)
        return
    event_clear(event="audit_broken", node_name=node_name, subject="head", message="Its copy agrees again")
    _agreed[node_name] = (copy.number, copy.mac)


def _rollback_tell(node_name: str, section: dict[str, Any]) -> None:
    """A node that was told a head which goes back says so until an admin has accepted it."""
    seen = section.get("rollback") is not None
    if _rolled_back.get(node_name) == seen:
        return
    where = {"event": "audit_broken", "node_name": node_name, "subject": "rollback"}
    if seen:
        message = f"Node {node_name} was told a head of the tool audit that lies before the one it keeps"
        event_raise(**where, message=message, url=AUDIT_URL)
    else:
        event_clear(**where, message="The chain was accepted")
    _rolled_back[node_name] = seen


def copy_problem(copy: HeadCopy) -> str:
    """Return what is wrong with our chain by this copy, in a sentence; "" for nothing."""
    return copy_problems([copy]).get(copy, "")


def copy_problems(copies: list[HeadCopy]) -> dict[HeadCopy, str]:
    """Return, for each copy that does not fit our chain, what is wrong in a sentence."""
    macs = macs_of([copy.number for copy in copies])
    head = AuditHead.objects.filter(pk=1).values_list("number", flat=True).first() or 0
    checkpoints = AuditRecord.objects.filter(covers__isnull=False).order_by("-covers")
    covers = checkpoints.values_list("covers", flat=True).first() or 0
    problems = {}
    for copy in copies:
        if copy.number in macs:
            if macs[copy.number] != copy.mac:
                problems[copy] = (
                    f"Entry {copy.number} of the tool audit is not the one that {copy.source} holds"
                )
        elif copy.number > head:
            problems[copy] = (
                f"The tool audit ends at {head}, but {copy.source} holds its head at {copy.number}"
            )
        elif copy.number > covers:
            problems[copy] = f"Entry {copy.number} of the tool audit, which {copy.source} holds, is gone"
    return problems


def macs_of(numbers: list[int]) -> dict[int, str]:
    """Return the keyed hash of each of these entries that is there."""
    found: dict[int, str] = {}
    for start in range(0, len(numbers), COPIES_AT_ONCE):
        some = AuditRecord.objects.filter(number__in=numbers[start : start + COPIES_AT_ONCE])
        found |= dict(some.values_list("number", "mac"))
    return found


def _installation() -> str:
    return config.INSTALLATION or installation_read(settings.DATA_DIR)


def _copy_read(data: Any, source: str) -> HeadCopy | None:
    if not isinstance(data, dict):
        return None
    number, mac = data.get("number"), data.get("mac")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 2**62:
        return None
    return HeadCopy(number, mac[:64], source) if isinstance(mac, str) and mac else None


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _file_append(number: int, mac: str) -> None:
    path = heads_file()
    line = json.dumps({"number": number, "mac": mac, "at": timezone.now().isoformat(timespec="seconds")})
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    lines = path.read_text().splitlines()
    if len(lines) > FILE_LINES_MOST:
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write("\n".join(lines[-FILE_LINES_KEPT:]) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
