"""Pages are read in a child process that is killed when it is late, or no longer wanted."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any

CHILD = (sys.executable, "-m", "sandbox_app.node.page_child")
PAGE_SECONDS = 10.0
ANSWER_MOST_BYTES = 8 * 2**20
LOOK_SECONDS = 0.1
TOO_INVOLVED = "The page is too large or too involved to be read."


class ReadingCancelled(Exception):
    """Whoever asked wants it no longer."""


class PageReader:
    """One child for the pages of one run; `with` it. It starts while the first page is still on its way."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PageReader:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def read(
        self,
        body: bytes,
        *,
        extract: str,
        url: str,
        media_type: str,
        charset: str | None = None,
        selector: str = "",
        offset: int = 0,
        most_characters: int = 20_000,
        seconds: float = PAGE_SECONDS,
    ) -> dict[str, Any]:
        """What page_text.page_extract makes of it, its text cut; or `{"problem": sentence}`.

        Raises ReadingCancelled.
        """
        order = {"extract": extract, "url": url, "media_type": media_type, "charset": charset}
        order |= {"selector": selector, "offset": offset, "most_characters": most_characters}  # type: ignore[dict-item]
        order["bytes"] = len(body)  # type: ignore[assignment]
        line = self._asked(json.dumps(order).encode() + b"\n" + body, seconds)
        if line is None:
            self._end()
            return {"problem": TOO_INVOLVED}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _asked(self, question: bytes, seconds: float) -> bytes | None:
        """The child's answer; None when it died or is late."""
        child = self._child or self._start()
        assert child.stdin and child.stdout
        inwards, outwards = child.stdin.fileno(), child.stdout.fileno()
        rest, answer = memoryview(question), bytearray()
        until = time.monotonic() + min(seconds, PAGE_SECONDS)
        with selectors.DefaultSelector() as selector:
            selector.register(inwards, selectors.EVENT_WRITE)
            selector.register(outwards, selectors.EVENT_READ)
            while time.monotonic() < until:
                if self._cancelled.is_set():
                    raise ReadingCancelled
                for key, _ in selector.select(LOOK_SECONDS):
                    if key.fd == inwards:
                        rest = _written(inwards, rest)
                        if not rest:
                            selector.unregister(inwards)
                        continue
                    piece = os.read(outwards, 2**18)
                    answer += piece
                    if piece.endswith(b"\n"):
                        return bytes(answer)
                    if not piece or len(answer) > ANSWER_MOST_BYTES:
                        return None
        return None

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ
        }
        self._child = subprocess.Popen(
            [*CHILD, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
            bufsize=0,
            start_new_session=True,
        )
        assert self._child.stdin
        os.set_blocking(self._child.stdin.fileno(), False)
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()


def _written(descriptor: int, rest: memoryview) -> memoryview:
    """What is left after writing; nothing when the child reads no more, which its answer will tell."""
    try:
        return rest[os.write(descriptor, rest) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:
        return rest[:0]
