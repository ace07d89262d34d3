"""Writes each report to the node's disk, and after a hard reset hands the last ones to web. No Django."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import structlog

from metrics_app.flight_file import Flight, FlightFile, flight_pack, flight_read, paths
from sparkweb.node_link.http_client import WebAnswer, WebUnreachable

log = structlog.get_logger(__name__)

RETRY_SECONDS = 30.0
Upload = Callable[[bytes], bool]


class FlightRecorder:
    """`keep` never waits: on a disk that does not answer reports are left out, newest wins.

    `upload` sends bytes to web and says whether web has them, or never will take them.
    """

    def __init__(
        self, folder: Path, host_boot: str, upload: Upload, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self._folder = folder
        self._host_boot = host_boot
        self._upload = upload
        self._retry_seconds = retry_seconds
        self._newest: dict[str, Any] | None = None
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._writer = threading.Thread(target=self._write, name="flight-recorder", daemon=True)
        self._sender = threading.Thread(target=self._send, name="flight-sender", daemon=True)

    def start(self) -> None:
        """Put aside what an earlier boot left, begin to write, and send what was put aside."""
        try:
            self._put_aside()
        except OSError as error:
            log.warning("the flight recorder cannot read its folder", error=str(error))
        self._writer.start()
        self._sender.start()

    def keep(self, report: dict[str, Any]) -> None:
        """Write this report, as soon as the disk has taken the one before."""
        self._newest = report
        self._wake.set()

    def close(self) -> None:
        """Mark the end as intended; waits a second at most."""
        self._stopped.set()
        self._wake.set()
        self._writer.join(1.0)

    @property
    def _aside(self) -> Path:
        return self._folder / "to-send"

    def _put_aside(self) -> None:
        flight = flight_read(self._folder)
        if ended_hard(flight, self._host_boot):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = self._aside.with_suffix(".new")
            draft.write_bytes(flight_pack(flight))
            draft.replace(self._aside)
            log.warning("the machine went down without warning", seconds_kept=len(flight.reports))
        if flight.host_boot != self._host_boot:
            for path in paths(self._folder):
                path.unlink(missing_ok=True)

    def _write(self) -> None:
        try:
            file = FlightFile(self._folder)
        except OSError as error:
            log.warning("the flight recorder cannot write", error=str(error))
            return
        failed = False
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._stopped.is_set():
                break
            report, self._newest = self._newest, None
            if report is None:
                continue
            try:
                file.append(report)
                failed = False
            except OSError as error:
                if not failed:
                    log.warning("the flight recorder cannot write", error=str(error))
                failed = True
        try:
            file.close()
        except OSError as error:
            log.warning("the flight recorder cannot end in order", error=str(error))

    def _send(self) -> None:
        while self._aside.is_file():
            try:
                if self._upload(self._aside.read_bytes()):
                    self._aside.unlink(missing_ok=True)
                    return
            except OSError as error:
                log.warning("the last minutes cannot be read", error=str(error))
            if self._stopped.wait(self._retry_seconds):
                return


TARGET = "/node/flights/"
TAKEN, NEVER = (200, 201), (400, 413)


class Web(Protocol):
    """What this needs of sparkweb/node_link/http_client.py."""

    def post(self, target: str, body: bytes) -> WebAnswer: ...


def upload_to(web: Web) -> Upload:
    """An upload by a node's way to web; what web calls nonsense is not sent again."""

    def upload(data: bytes) -> bool:
        try:
            answer = web.post(TARGET, data)
        except WebUnreachable as error:
            log.info("the last minutes wait for web", error=str(error))
            return False
        if answer.status not in TAKEN:
            log.warning("web did not take the last minutes", status=answer.status, answer=answer.text)
        return answer.status in TAKEN + NEVER

    return upload


def ended_hard(flight: Flight, host_boot: str) -> bool:
    """Whether a machine went down under its recorder: another boot, and no intended end."""
    return (
        bool(flight.reports)
        and not flight.closed
        and bool(flight.host_boot)
        and flight.host_boot != host_boot
    )
