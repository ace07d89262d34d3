"""A node's own transcripts on their way to the centre. No Django here, no database.

Which folders are read is this node's setting (SPARKWEB_TRANSCRIPTS); the centre may only say that
it does not want one. Nothing is remembered here: what the centre has, it says.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from sparkweb.node_link.http_client import AnswerTooLarge, WebClient, WebUnreachable
from transcripts_app.importing.follower import Follower
from transcripts_app.importing.walk import Found
from transcripts_app.wire import PIECE, PIECE_BYTES, PRESENT, SOURCES, Piece, print_of, told_of

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.5
REST_SECONDS = 10.0
ASK_SECONDS = 30.0
ANSWER_BYTES = 32 * 2**20
LIST_BYTES = 3_500_000
COMPARE_SECONDS = 600.0


class NotTaken(Exception):
    """The centre does not take it now; it is sent again later."""


class SourceSender:
    """One folder: looked at, and what is new of it sent."""

    def __init__(self, root: Path, web: WebClient) -> None:
        self.root, self.web = root, web
        self.follower = Follower(str(root))
        self.held: dict[str, int] | None = None
        self.compared = float("-inf")

    def send(self) -> bool:
        """Send what is new; whether there was anything. Raises NotTaken and WebUnreachable."""
        look = self.follower.look()
        if look.whole and not look.problem:
            late = time.monotonic() - self.compared > COMPARE_SECONDS
            if self.held is None or look.gone or late:
                self._present(look.found)
                self.follower.done([], look.gone)
        if self.held is None:
            return False
        for one in sorted(look.changed, key=lambda one: one.mtime_ns):
            if one.role != "refused":
                self._file(one)
            self.follower.done([one])
        return bool(look.changed)

    def _present(self, found: Sequence[Found]) -> None:
        """Say which files there are, and hear how much of each the centre holds."""
        files, size = [], 0
        for one in found:
            size += len(one.path) + 8
            if one.role != "refused" and size < LIST_BYTES:
                files.append(one.path)
        told = {"source": str(self.root), "files": files, "complete": size < LIST_BYTES}
        answer = self.web.fetch(PRESENT, json.dumps(told, ensure_ascii=False).encode(), ANSWER_BYTES)
        if answer.status != 200:
            raise NotTaken(f"the list of files: {answer.status} {answer.data[:200]!r}")
        held = told_of(answer.data).get("files", {})
        self.held = {path: size for path, size in held.items() if type(size) is int}
        self.compared = time.monotonic()
        lost = [one.path for one in found if self.held.get(one.path, 0) < one.size]
        if lost:
            self.follower.again(lost)

    def _file(self, one: Found) -> None:
        """Send a file from where the centre's copy ends, up to where it ends now."""
        assert self.held is not None
        place = Path(one.real)
        at, anew = self.held.get(one.path, 0), False
        try:
            size = place.stat().st_size
            if at > size:
                at, anew = 0, True
            while at < size or anew:
                at, anew = self._piece(one, place, at, anew), False
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("a transcript cannot be read", path=str(place), reason=str(error))
            return
        self.held[one.path] = at

    def _piece(self, one: Found, place: Path, at: int, anew: bool) -> int:
        with place.open("rb") as file:
            file.seek(at)
            data = file.read(PIECE_BYTES)
        piece = Piece(str(self.root), one.path, at, one.mtime_ns, print_of(place, at), anew)
        answer = self.web.post(PIECE, piece.pack(data))
        told = told_of(answer.text)
        if answer.status == 200:
            return at + len(data)
        if answer.status == 409 and type(told.get("held")) is int:
            held = int(told["held"])
            if held == at or held > place.stat().st_size:  # it holds other bytes: rewritten here
                return self._piece(one, place, 0, True) if not anew else self._refused(answer.text)
            return held
        return self._refused(f"{answer.status} {answer.text}")

    def _refused(self, text: str) -> int:
        raise NotTaken(text[:200])


class TranscriptSender:
    """The thread that looks at this node's folders and sends what is new of them."""

    def __init__(self, roots: Sequence[Path], web: Callable[[], WebClient]) -> None:
        self._roots, self._web = roots, web
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="transcripts", daemon=True)
        self._senders: dict[str, SourceSender] = {}

    def start(self) -> None:
        """Begin to look, where there is anything to look at."""
        if self._roots:
            self._thread.start()

    def close(self) -> None:
        """End soon."""
        self._stopped.set()

    def _run(self) -> None:
        pause = TICK_SECONDS
        trouble = ""
        web = self._web()
        asked = 0.0
        while not self._stopped.wait(pause):
            try:
                asked -= pause
                if asked <= 0:
                    self.ask(web)
                    asked = ASK_SECONDS
                self.round()
                pause, trouble = TICK_SECONDS if self._senders else REST_SECONDS, ""
            except (NotTaken, WebUnreachable, AnswerTooLarge) as error:
                pause, asked = REST_SECONDS, 0.0
                if str(error) != trouble:
                    log.info("transcripts wait", reason=str(error))
                trouble = str(error)
            except Exception:
                log.exception("sending transcripts failed")
                pause, asked = REST_SECONDS, 0.0

    def ask(self, web: WebClient) -> None:
        """Tell the centre which folders there are, and which of them it wants."""
        roots = {str(path.resolve()): path for path in self._roots if path.is_dir()}
        if not roots:
            self._senders.clear()
            return
        told = [{"path": path, "problem": _problem(path)} for path in roots]
        answer = web.post(SOURCES, json.dumps({"sources": told}).encode())
        if answer.status != 200:
            raise NotTaken(f"{answer.status} {answer.text[:200]}")
        wanted = {path for path, yes in told_of(answer.text).get("sources", {}).items() if yes is True}
        for path in self._senders.keys() - wanted:
            del self._senders[path]
        for path in wanted & roots.keys() - self._senders.keys():
            self._senders[path] = SourceSender(Path(path), web)

    def round(self) -> None:
        """Send what is new of each."""
        for sender in self._senders.values():
            try:
                sender.send()
            except NotTaken:
                sender.held = None  # what it has is asked for anew
                raise


def _problem(path: str) -> str:
    try:
        with os.scandir(path):
            return ""
    except OSError as error:
        return f"{path} cannot be listed: {error.strerror}"
