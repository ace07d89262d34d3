"""The child process that downloads one repository: `python -m models_app.node.storage.hub_child`.

Reads one JSON object on its standard input (no secret stands in its arguments),
writes one JSON object a line: progress, and at last the outcome. A child process,
because a dead network disk stops whoever writes to it, and because it can be killed.
"""

from __future__ import annotations

import errno
import json
import sys
import threading
from pathlib import Path
from typing import Any

from models_app.node.storage.hub_download import Download, Progress, Wish
from models_app.node.storage.space import FULL, DiskShort
from sparkweb.adapters.hub import Hub, HubTrouble
from sparkweb.child_processes import dies_with_parent

TELL_SECONDS = 0.25


def main() -> int:
    """Download, and say how it went. Returns 0 when all is here, else 1."""
    order = json.loads(sys.stdin.readline())
    dies_with_parent(order["parent"])
    progress = Progress()
    teller = _Teller(progress)
    teller.start()
    outcome = download(order, progress)
    teller.end()
    _say(outcome)
    return 0 if outcome["outcome"] == "done" else 1


def download(order: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Carry out one order; the outcome: done with its commit, or failed with code and reason."""
    cache = Path(order["cache"]) / "hub"
    wish = Wish(order["repo_type"], order["repo"], order["revision"], order["patterns"])
    try:
        token = _token(order["token_file"])
        run = Download(cache, wish, lambda: Hub(order["endpoint"], token), progress, order["reserve_bytes"])
        commit = run.run()
    except (HubTrouble, DiskShort) as trouble:
        return {"outcome": "failed", "code": trouble.code, "reason": str(trouble), **_figures(progress)}
    except OSError as error:
        code, reason = os_words(error, cache)
        return {"outcome": "failed", "code": code, "reason": reason, **_figures(progress)}
    return {"outcome": "done", "commit": commit, **_figures(progress)}


def os_words(error: OSError, folder: Path) -> tuple[str, str]:
    """Code and sentence for what a disk refused."""
    if error.errno in FULL:
        return "disk_full", (
            f"The disk of {folder} is full. What came stays and goes on when there is room; delete something "
            "on the storage page, or this download's partial files."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "denied", (
            f"{error.filename or folder} cannot be written: {error.strerror}. A container that ran as root "
            f"may have made it: sudo chown -R $USER {folder}"
        )
    return "disk_error", f"The disk of {folder} failed: {error}"


def _token(file: str | None) -> str | None:
    """The token in the node's secret file; None without one."""
    try:
        return Path(file).read_text().strip() or None if file else None
    except FileNotFoundError:
        return None


def _figures(progress: Progress) -> dict[str, Any]:
    return {"done_bytes": progress.done_bytes, "total_bytes": progress.total_bytes}


class _Teller(threading.Thread):
    """Says how far it is while that moves."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(name="teller", daemon=True)
        self._progress = progress
        self._over = threading.Event()

    def run(self) -> None:
        said: dict[str, Any] = {}
        while not self._over.wait(TELL_SECONDS):
            now = {**_figures(self._progress), "message": self._progress.message}
            if now != said:
                _say(now)
            said = now

    def end(self) -> None:
        self._over.set()
        self.join()


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201 - this is how the agent hears it


if __name__ == "__main__":
    sys.exit(main())
