"""What the agent sends: each fact until control has stored it, each report once.

Neither ever stops the agent: with Redis gone, facts wait in the journal and reports are
dropped but for the newest. No Django here.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import orjson

from sparkweb.node_link.envelope import envelope_seal
from sparkweb.node_link.journal import Fact, Journal, JournalUnavailable
from sparkweb.node_link.signatures import Signer
from sparkweb.streams import EntryTooLarge, Streams, StreamsDown

logger = logging.getLogger(__name__)

# Not more than this is under way; the rest follows when it is acknowledged (back-pressure).
WINDOW_FACTS = 200
WINDOW_BYTES = 2 * 1024 * 1024
RESEND_SECONDS = 2.0
RESEND_SLOWEST_SECONDS = 10.0
ACK_POLL_FASTEST_SECONDS = 0.002
ACK_POLL_SLOWEST_SECONDS = 1.0
IDLE_SECONDS = 60.0
RETRY_SECONDS = 1.0


class JournalSender(threading.Thread):
    """Sends the journal's facts on `from:<node>` and forgets those that control acknowledged.

    New facts go out at once. A fact without acknowledgement is sent again after 2 s, then at
    doubling intervals up to 10 s; any progress starts again at 2 s. `ack:<node>` is read soon
    after sending and then ever less often, down to once a second; with nothing unacknowledged
    the thread sleeps. What is sent again replaces what was sent before, so that the stream
    never holds much more than one window.
    """

    def __init__(self, journal: Journal, streams: Streams, signer: Signer) -> None:
        super().__init__(name="journal-sender", daemon=True)
        self._journal = journal
        self._streams = streams
        self._signer = signer
        self._stream = f"from:{signer.node_name}"
        self._stopped = threading.Event()
        self._down = False
        self._greeted = False  # whether the acknowledgement was read since the start
        self._sent_through = 0  # 0: everything unacknowledged is to be sent (again)
        self._resend_seconds = RESEND_SECONDS
        self._resend_at = 0.0
        self._ack_poll_seconds = ACK_POLL_FASTEST_SECONDS

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                newest = self._journal.last_sequence
                pause_seconds = self._step()
                self._said(None)
                self._journal.wait(newest, pause_seconds)
            except (StreamsDown, JournalUnavailable) as error:
                self._said(error)
                self._stopped.wait(RETRY_SECONDS)
            except Exception:
                logger.exception("the sender of facts failed; it goes on")
                self._stopped.wait(RETRY_SECONDS)

    def close(self, timeout_seconds: float = 3.0) -> None:
        """Stop and wait for the thread; what is unacknowledged stays in the journal."""
        self._stopped.set()
        self._journal.wake()
        if self.is_alive():
            self.join(timeout_seconds)

    # Within --------------------------------------------------------------------

    def _step(self) -> float:
        """Read the acknowledgement, send what is due; return how long nothing will be due (seconds)."""
        facts = self._journal.unacknowledged(0, WINDOW_FACTS)
        oldest = facts[0].sequence if facts else self._journal.last_sequence + 1
        if (facts or not self._greeted) and self._acknowledged(oldest):
            return 0.0
        self._greeted = True
        if not facts:
            return IDLE_SECONDS
        now = time.monotonic()
        if self._sent_through and now >= self._resend_at:
            self._sent_through = 0
            self._resend_seconds = min(2 * self._resend_seconds, RESEND_SLOWEST_SECONDS)
        if self._sent_through == 0:
            self._clear_stream()
        if self._send(facts):
            self._resend_at = now + self._resend_seconds
            self._ack_poll_seconds = ACK_POLL_FASTEST_SECONDS
        self._ack_poll_seconds = min(2 * self._ack_poll_seconds, ACK_POLL_SLOWEST_SECONDS)
        return min(self._ack_poll_seconds, max(0.0, self._resend_at - now))

    def _acknowledged(self, oldest: int) -> bool:
        """Apply what control acknowledged; True if that was anything new."""
        (raw,) = self._streams.fetch([f"ack:{self._signer.node_name}"])
        journal_id, _, number = (raw or b"").decode(errors="replace").partition(":")
        if journal_id != self._journal.id or not number.isdigit() or int(number) < oldest:
            return False
        if int(number) > self._journal.last_sequence:
            self._journal_renew(int(number))
            return True
        self._journal.acknowledge(int(number))
        if int(number) >= self._sent_through:
            self._sent_through = int(number)
            self._clear_stream()
        self._resend_seconds = RESEND_SECONDS
        self._resend_at = time.monotonic() + RESEND_SECONDS
        return True

    def _send(self, facts: list[Fact]) -> bool:
        """Send the facts of the window that were not sent yet; True if there were any."""
        journal_id, oldest, size, sent = self._journal.id, facts[0].sequence, 0, False
        for fact in facts:
            size += len(fact.payload)
            if size > WINDOW_BYTES and fact is not facts[0]:
                break
            if fact.sequence > self._sent_through:
                sealed = envelope_seal(self._signer, "from", journal_id, fact.sequence, fact.payload, oldest)
                self._streams.append(self._stream, sealed.to_data())
                self._sent_through, sent = fact.sequence, True
        return sent

    def _clear_stream(self) -> None:
        """Remove what is on the stream: all of it is acknowledged, or is about to be sent again."""
        self._streams.trim(self._stream, self._streams.last(self._stream))

    def _journal_renew(self, acknowledged: int) -> None:
        logger.error(
            "control has stored fact %s of this journal, which ends at %s: an older copy; it gets a new id",
            acknowledged,
            self._journal.last_sequence,
        )
        self._journal.renew_id()
        self._sent_through = 0

    def _said(self, error: Exception | None) -> None:
        """Log a trouble once, and its end."""
        if error is not None and not self._down:
            logger.warning("facts wait in the journal: %s", error)
        elif error is None and self._down:
            logger.info("facts are sent again")
        self._down = error is not None


class ReportSender(threading.Thread):
    """Sends reports on `report:<node>`; `send` never waits, and the newest report wins."""

    def __init__(self, streams: Streams, signer: Signer, boot: str) -> None:
        """`boot` is the id (UUID) of this run of the agent; sequences count within it."""
        super().__init__(name="report-sender", daemon=True)
        self._streams = streams
        self._signer = signer
        self._boot = boot
        self._sequence = 0
        self._newest: dict[str, Any] | None = None
        self._stopped = False
        self._changed = threading.Condition()
        self._down = False
        self.dropped = 0

    def send(self, report: dict[str, Any]) -> None:
        """Hand over a report and return at once; one that still waits is dropped for it."""
        with self._changed:
            if self._newest is not None:
                self.dropped += 1
            self._newest = report
            self._changed.notify()

    def run(self) -> None:
        while (report := self._next()) is not None:
            try:
                self._append(report)
            except (StreamsDown, EntryTooLarge, TypeError) as error:
                self.dropped += 1
                if not self._down:
                    logger.warning("reports are dropped: %s", error)
                self._down = True
            else:
                self._down = False

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Stop and wait for the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self.is_alive():
            self.join(timeout_seconds)

    def _next(self) -> dict[str, Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._newest is not None)
            report, self._newest = self._newest, None
            return None if self._stopped else report

    def _append(self, report: dict[str, Any]) -> None:
        self._sequence += 1
        payload = orjson.dumps(report).decode()
        sealed = envelope_seal(self._signer, "report", self._boot, self._sequence, payload)
        self._streams.append(f"report:{self._signer.node_name}", sealed.to_data())
