"""`manage.py top`: the dashboard's figures in a terminal, over SSH too."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metrics_app.models import Node
from metrics_app.selectors import node_snapshots
from metrics_app.terminal import screen

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class Command(BaseCommand):
    help = "Show every node's figures each second; Ctrl-C ends it. --once prints them once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("nodes", nargs="*", help="Names of nodes; all if none is named.")
        parser.add_argument("--once", action="store_true", help="Print once, for scripts and pipes.")
        parser.add_argument("--seconds", type=float, default=1.0, help="Between two pictures.")

    def handle(self, *_args: Any, **options: Any) -> None:
        known = set(Node.objects.values_list("name", flat=True))
        if unknown := [name for name in options["nodes"] if name not in known]:
            raise CommandError(
                f"There is no node {unknown[0]!r}; there are {', '.join(sorted(known)) or 'none'}."
            )
        if options["once"] or not sys.stdout.isatty():
            self.stdout.write("\n".join(screen(_nodes(options["nodes"]), height=10_000)))
            return
        self._follow(options["nodes"], max(0.2, options["seconds"]))

    def _follow(self, names: list[str], seconds: float) -> None:
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        sys.stdout.write(ENTER)
        try:
            while not stopped.is_set():
                lines = [f"{line}{REST_OF_LINE}" for line in screen(_nodes(names))]
                sys.stdout.write(HOME + "\r\n".join(lines) + REST_OF_SCREEN)
                sys.stdout.flush()
                stopped.wait(seconds)
        finally:
            sys.stdout.write(LEAVE)
            sys.stdout.flush()


def _nodes(names: list[str]) -> list[dict[str, Any]]:
    rows = Node.objects.filter(name__in=names) if names else Node.objects.all()
    snapshots = node_snapshots([row.name for row in rows])
    now = time.time()
    return [
        {
            "name": row.name,
            "status": row.status,
            "report": snapshot["report"] if snapshot else None,
            "age_seconds": max(0.0, now - snapshot["received_at"]) if snapshot else None,
        }
        for row in rows
        for snapshot in [snapshots[row.name]]
    ]
