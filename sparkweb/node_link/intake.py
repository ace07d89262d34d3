"""The intake: one thread in control that reads what all nodes send.

Each round reads `report:<node>` and `from:<node>` of every node with a valid key, checks
signatures, hands reports and facts to the registry, writes `ack:<node>` after commit, and
judges freshness by its own monotonic clock. It goes on through Redis gone (facts wait on
the nodes), the database locked or gone (facts are tried again), and handlers that raise.

No node can starve another: a round takes a bounded number of entries and a bounded time per
node, and a node that sends more than its share is read more slowly.

What survives control's end is in the database alone: on start facts are read from the oldest
on the stream (the cursor makes that harmless), reports from now on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any

import orjson
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    connections,
)

from sparkweb.accounts.models import NodeKey
from sparkweb.node_link import registry
from sparkweb.node_link.envelope import KINDS, Envelope, EnvelopeInvalid, Kind, envelope_open
from sparkweb.node_link.facts import DatabaseWaits, FactApplier, Outcome
from sparkweb.node_link.nodes import NodeState
from sparkweb.node_link.signatures import NodeKeyInvalid, public_key_load
from sparkweb.streams import Entry, Gap, Streams, StreamsDown

logger = logging.getLogger(__name__)

BLOCK_SECONDS = 1.0
ENTRIES_PER_ROUND = 20
FACTS_SECONDS_PER_ROUND = 0.05
NODES_REFRESH_SECONDS = 2.0
RETRY_FIRST_SECONDS = 0.1
RETRY_SECONDS = 1.0
LOG_AGAIN_SECONDS = 60.0
# This thread must not sit behind a long write transaction: figures have to keep moving.
LOCK_WAIT_MILLISECONDS = 1_000


# Written when a node's key was made, changed or revoked, so that it counts at once.
NODES_STREAM = "intake:nodes"


class Intake(threading.Thread):
    """Reads, checks and applies what nodes send, until `stop()`."""

    def __init__(self, streams: Streams) -> None:
        super().__init__(name="intake", daemon=True)
        self._streams = streams
        self._facts = FactApplier()
        self._nodes: dict[str, NodeState] = {}
        self._refresh_at = 0.0
        self._changes_after = ""
        self._acks_due: dict[str, str] = {}  # node name to journal id
        self._logged_at: dict[str, float] = {}
        self._prepared: Any = None
        self._down_rounds = 0
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.step(BLOCK_SECONDS)
            except Exception:
                logger.exception("a round of the intake failed; it goes on")
                self._stopped.wait(RETRY_SECONDS)
        connections.close_all()

    def stop(self, timeout_seconds: float = 3.0) -> None:
        """End with the current round and wait for the thread."""
        self._stopped.set()
        if self.is_alive():
            with suppress(StreamsDown):
                self._streams.append(NODES_STREAM, {})  # ends the read that waits
            self.join(timeout_seconds)

    def step(self, block_seconds: float) -> None:
        """Do one round: wait up to `block_seconds` for entries, apply them, judge freshness."""
        self._nodes_refresh()
        heard_at = time.monotonic()
        try:
            found = self._read(block_seconds)
            heard_at = time.monotonic()
            self._take(found, heard_at)
            self._acknowledge()
            self._down_rounds = 0
        except StreamsDown as error:
            self._log_sometimes("redis", f"the intake waits for Redis: {error}")
            self._stopped.wait(min(RETRY_FIRST_SECONDS * 2**self._down_rounds, RETRY_SECONDS))
            self._down_rounds = min(self._down_rounds + 1, 10)
            heard_at = time.monotonic()
        # As of the read, not of now: what came while handlers ran is still to be read.
        self._statuses_tell(heard_at)

    # Which nodes ---------------------------------------------------------------

    def _nodes_refresh(self) -> None:
        now = time.monotonic()
        if now < self._refresh_at:
            return
        self._refresh_at = now + NODES_REFRESH_SECONDS
        if not self._database_ready():
            return
        try:
            keys = dict(NodeKey.objects.filter(revoked_at=None).values_list("node_name", "public_key"))
        except DatabaseError as error:
            self._log_sometimes("database", f"the intake cannot read node keys: {error}")
            return
        for name in self._nodes.keys() - keys.keys():
            self._node_forget(self._nodes[name])
        for name, public_text in keys.items():
            self._node_take_up(name, public_text, now)

    def _node_take_up(self, name: str, public_text: str, now: float) -> None:
        node = self._nodes.get(name)
        if node is not None and node.public_text == public_text:
            return
        try:
            key = public_key_load(public_text)
        except NodeKeyInvalid as error:
            self._log_sometimes(f"key {name}", f"{name}: {error}; nothing is accepted from this node")
            return
        if node is None:
            self._nodes[name] = NodeState(name, public_text, key, known_at=now)
        else:
            node.public_text, node.key = public_text, key

    def _node_forget(self, node: NodeState) -> None:
        logger.warning("%s: its key is revoked; nothing is accepted from it any more", node.name)
        self._status_tell(node, "offline")
        del self._nodes[node.name]
        self._acks_due.pop(node.name, None)

    def _database_ready(self) -> bool:
        try:
            self._connection_prepare()
        except DatabaseError as error:
            self._log_sometimes("database", f"the intake waits for the database: {error}")
            return False
        return True

    def _connection_prepare(self) -> None:
        """Make this thread's connection usable again, and impatient with locks."""
        close_old_connections()
        connection.ensure_connection()
        if connection.connection is self._prepared:
            return
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_MILLISECONDS}")
            elif connection.vendor == "postgresql":
                cursor.execute(f"SET lock_timeout = {LOCK_WAIT_MILLISECONDS}")
        self._prepared = connection.connection

    # Reading -------------------------------------------------------------------

    def _read(self, block_seconds: float) -> dict[tuple[str, Kind], list[Entry]]:
        """Read the streams of all nodes that may be read now, by node and kind."""
        now, waits, owners = time.monotonic(), [block_seconds], {}
        wanted = {NODES_STREAM: self._changes_offset()}
        for node in self._nodes.values():
            waits.append(node.changes_in(now))
            for kind in KINDS:
                wait = node.budgets[kind].wait_seconds(now)
                if kind == "from":
                    wait = max(wait, node.facts_wait_until - now)
                if wait > 0:
                    waits.append(wait)
                    continue
                stream = f"{kind}:{node.name}"
                owners[stream] = (node, kind)
                wanted[stream] = self._offset(node, kind)
        found: dict[tuple[str, Kind], list[Entry]] = defaultdict(list)
        for item in self._streams.read(wanted, min(waits), ENTRIES_PER_ROUND):
            # Gaps say nothing here: reports are superseded, facts are sent again.
            if isinstance(item, Gap):
                continue
            if item.stream == NODES_STREAM:
                self._changes_after, self._refresh_at = item.offset, 0.0
            else:
                node, kind = owners[item.stream]
                found[node.name, kind].append(item)
        return found

    def _changes_offset(self) -> str:
        self._changes_after = self._changes_after or self._streams.last(NODES_STREAM)
        return self._changes_after

    def _offset(self, node: NodeState, kind: Kind) -> str:
        if kind not in node.offsets:
            node.offsets[kind] = self._streams.last(f"report:{node.name}") if kind == "report" else "0"
        return node.offsets[kind]

    def _take(self, found: dict[tuple[str, Kind], list[Entry]], heard_at: float) -> None:
        ready = bool(found) and self._database_ready()
        for (name, kind), entries in found.items():
            if kind == "report":
                self._reports_take(self._nodes[name], entries, heard_at)
        for (name, kind), entries in found.items():
            if kind == "from" and ready:
                self._facts_take(self._nodes[name], entries)
            elif kind == "from":
                self._nodes[name].facts_wait_until = time.monotonic() + RETRY_SECONDS / 2

    def _open(self, node: NodeState, kind: Kind, entry: Entry) -> Envelope | None:
        try:
            envelope = envelope_open(kind, entry.data)
        except EnvelopeInvalid:
            self._refuse(node, "malformed")
            return None
        if not envelope.is_signed_by(node.key, kind, node.name):
            self._refuse(node, "forged")
            return None
        return envelope

    # Reports -------------------------------------------------------------------

    def _reports_take(self, node: NodeState, entries: list[Entry], heard_at: float) -> None:
        for entry in entries:
            node.offsets["report"] = entry.offset
            node.budgets["report"].spend()
            envelope = self._open(node, "report", entry)
            if envelope is None:
                continue
            if not node.report_is_new(envelope):
                self._refuse(node, "replayed")
                continue
            try:
                report = orjson.loads(envelope.payload)
            except orjson.JSONDecodeError:
                report = None
            if not isinstance(report, dict):
                self._refuse(node, "malformed")
                continue
            node.heard_at = heard_at
            self._report_hand_on(node, report)

    def _report_hand_on(self, node: NodeState, report: dict[str, Any]) -> None:
        meta = {"boot": node.boot, "seq": node.sequence, "received_at": time.time()}
        for listener in registry.report_listeners:
            self._guarded(f"{node.name}: {listener.__qualname__}", listener, node.name, report, meta)
        for section, handler in registry.report_handlers.items():
            if section in report:
                self._guarded(f"{node.name}: {section}", handler, node.name, report[section], report)

    def _guarded(self, what: str, function: Any, *args: Any) -> bool:
        """Call a handler of somebody else; False if it raised, which is logged once a minute."""
        try:
            function(*args)
        except (StreamsDown, OperationalError, InterfaceError) as error:
            self._log_sometimes(what, f"{what}: {error}")
            return False
        except Exception:
            if self._may_log(what):
                logger.exception("%s failed", what)
            return False
        return True

    # Facts ---------------------------------------------------------------------

    def _facts_take(self, node: NodeState, entries: list[Entry]) -> None:
        """Apply facts in order, for a slice of time; what is left is read again in the next round."""
        until = time.monotonic() + FACTS_SECONDS_PER_ROUND
        for entry in entries:
            envelope = self._open(node, "from", entry)
            if envelope is not None and not self._fact_take(node, envelope):
                return
            node.offsets["from"] = entry.offset
            node.budgets["from"].spend()
            if time.monotonic() > until:
                return

    def _fact_take(self, node: NodeState, envelope: Envelope) -> bool:
        """Apply one fact; False if it has to be tried again."""
        try:
            outcome = self._facts.apply(node.name, envelope)
        except Exception as error:
            if not isinstance(error, DatabaseWaits):
                logger.exception("%s: fact %s cannot be applied now", node.name, envelope.sequence)
            self._log_sometimes("database", f"facts wait for the database: {error}")
            node.facts_wait_until = time.monotonic() + RETRY_SECONDS / 2
            return False
        if outcome is not Outcome.EARLY:
            self._acks_due[node.name] = envelope.origin
        return True

    def _acknowledge(self) -> None:
        for name, journal in list(self._acks_due.items()):
            try:
                text = self._facts.acknowledgement(name, journal)
            except DatabaseWaits:
                continue
            self._streams.put(f"ack:{name}", text)
            del self._acks_due[name]

    # Freshness -----------------------------------------------------------------

    def _statuses_tell(self, now: float) -> None:
        for node in self._nodes.values():
            status = node.status(now)
            if status and status != node.told and now >= node.tell_again_at:
                self._status_tell(node, status)

    def _status_tell(self, node: NodeState, status: str) -> None:
        told = [
            self._guarded(f"{node.name}: {listener.__qualname__}", listener, node.name, status)
            for listener in registry.status_listeners
        ]
        if all(told):
            node.told = status
        else:
            node.tell_again_at = time.monotonic() + RETRY_SECONDS

    # Logging -------------------------------------------------------------------

    def _refuse(self, node: NodeState, reason: str) -> None:
        node.refused[reason] += 1
        self._log_sometimes(
            f"{node.name} {reason}",
            f"{node.name}: {node.refused[reason]} entries refused as {reason} so far; "
            "does another agent use this node's name, or an old key?",
        )

    def _log_sometimes(self, what: str, sentence: str) -> None:
        if self._may_log(what):
            logger.warning(sentence)

    def _may_log(self, what: str) -> bool:
        now = time.monotonic()
        if now - self._logged_at.get(what, -LOG_AGAIN_SECONDS) < LOG_AGAIN_SECONDS:
            return False
        self._logged_at[what] = now
        return True
