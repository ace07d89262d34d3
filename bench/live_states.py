"""A browser's socket on a stack: what states of launches it is told, and when."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.second_node import Browsing
from tests.support.stack import Stack


class LiveStates(threading.Thread):
    """Notes each state that a launch is said to be in, with the time of arrival (seconds since the epoch)."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        browser = Browsing(stack)
        self._connection = connect(
            stack.url.replace("http", "ws") + "/ws/live/",
            origin=stack.url,
            additional_headers={"Cookie": browser.cookies},
            max_size=None,
        )
        self._seen: dict[str, list[tuple[str, float]]] = {}
        self._news = threading.Condition()

    def run(self) -> None:
        try:
            for text in self._connection:
                frame, now = json.loads(text), time.time()
                if frame["type"] == "launch":
                    with self._news:
                        self._seen.setdefault(frame["launch"], []).append((frame["state"], now))
                        self._news.notify_all()
        except ConnectionClosed:
            return

    def wait(self, launch: str, states: Collection[str], after: float = 0.0, seconds: float = 120.0) -> float:
        """Return when the launch was first said to be in one of `states`, not before `after`."""

        def found() -> float | None:
            told = self._seen.get(launch, [])
            return next((at for state, at in told if state in states and at >= after), None)

        with self._news:
            if not self._news.wait_for(found, seconds):
                raise AssertionError(
                    f"{launch} was not {states} within {seconds} s: {self._seen.get(launch)}"
                )
            return found() or 0.0

    def close(self) -> None:
        self._connection.close()
