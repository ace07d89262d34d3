"""`manage.py import_transcripts [PATH…]`: read Claude Code's transcripts into the archive."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from transcripts_app.importing.costs import costs_refresh
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.run import ImportRun, Progress
from transcripts_app.importing.writer import ArchiveBusy, ArchiveFull, Writer
from transcripts_app.services_prices import prices_table

DEFAULT = Path("~/.claude/projects")
WAIT_SECONDS = 5.0  # the process that follows transcripts lets go between two of its readings
STOPPED = 130  # as a shell tells of ctrl-C
DRAW_SECONDS = 0.1


class Command(BaseCommand):
    help = "Read transcripts of Claude Code into the archive. Safe to repeat: only what is new is read."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="*", type=Path, help=f"folders, {DEFAULT} if none is given")
        parser.add_argument("--node", help="the node that the folders belong to; this one if none is given")
        parser.add_argument("--json", action="store_true", help="print what was read as one line of JSON")
        parser.add_argument(
            "--wait", type=float, default=WAIT_SECONDS, metavar="SECONDS",
            help=f"how long to wait for another import, {WAIT_SECONDS:g} if not given",
        )  # fmt: skip

    def handle(self, *_args: Any, paths: list[Path], **options: Any) -> None:
        folders = [path.expanduser().resolve() for path in paths or [DEFAULT]]
        for folder in folders:
            if not folder.is_dir():
                raise CommandError(f"{folder} is no folder: name one that holds projects of Claude Code")
        begun = time.perf_counter()
        try:
            with Writer(settings.ARCHIVE_PATH, wait_seconds=options["wait"]) as writer:
                total = self._read(writer, folders, options["node"] or settings.NODE_NAME)
        except (ArchiveBusy, ArchiveFull) as error:
            raise CommandError(f"{error}") from None
        seconds = time.perf_counter() - begun
        if options["json"]:
            self.stdout.write(json.dumps(total.as_json() | {"seconds": round(seconds, 3)}))
        else:
            self.stdout.write(told(total, seconds))

    def _read(self, writer: Writer, folders: list[Path], node: str) -> Count:
        run, bar = ImportRun(writer, "command"), Bar(self.stderr)
        try:
            costs_refresh(writer, prices_table())
            for folder in folders:
                run.source_read(node, folder, progress=bar.draw)
            run.end()
        except KeyboardInterrupt:
            bar.clear()
            run.end("stopped by hand")
            raise CommandError(
                f"stopped; {told(run.total, bar.seconds)} Run it again to go on.", returncode=STOPPED
            ) from None
        except ArchiveFull:
            bar.clear()
            raise
        except Exception as error:
            bar.clear()
            run.end(f"{type(error).__name__}: {error}")
            raise
        bar.clear()
        return run.total


class Bar:
    """Bytes, files, rate and time to go, on one line of a terminal; nothing elsewhere."""

    def __init__(self, out: Any) -> None:
        self.out, self.shown = out, bool(out.isatty())
        self.begun, self.drawn = time.monotonic(), 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def draw(self, progress: Progress) -> None:
        now = time.monotonic()
        if not self.shown or now - self.drawn < DRAW_SECONDS:
            return
        self.drawn = now
        width = shutil.get_terminal_size().columns
        self.out.write("\r" + line(progress, self.seconds)[: width - 1].ljust(width - 1), ending="")
        self.out.flush()

    def clear(self) -> None:
        if self.shown and self.drawn:
            width = shutil.get_terminal_size().columns
            self.out.write("\r" + " " * (width - 1) + "\r", ending="")
            self.out.flush()


def line(progress: Progress, seconds: float) -> str:
    """How far a run is, in one line."""
    part = min(1.0, progress.bytes_done / progress.bytes) if progress.bytes else 1.0
    rate = progress.bytes_done / max(seconds, 0.001)
    left = (progress.bytes - progress.bytes_done) / rate if rate and part < 1 else 0
    filled = "█" * round(part * 24)
    return (
        f"{part:4.0%} {filled:░<24} {size(progress.bytes_done)} of {size(progress.bytes)}, "
        f"{progress.files_done} of {progress.files} files, {size(rate)}/s, {left:.0f} s to go"
    )


def told(total: Count, seconds: float) -> str:
    """What a run read, in a sentence or two."""
    if not total.files and not total.lines:
        return "Nothing new."
    words = [f"{total.files:,} files, {total.records:,} records read, {size(total.bytes)} in {seconds:.1f} s"]
    for count, word in (
        (total.copies, "copies of earlier ones"), (total.conflicts, "with the uuid of another"),
        (total.moved, "in rewritten files that were there before"), (sum(total.unknown.values()), "unknown"),
        (total.bad, "lines that are no records"), (total.blank, "blank"),
    ):  # fmt: skip
        if count:
            words.append(f"{count:,} {word}")
    waiting = f" {size(total.waiting_bytes)} wait for the end of their line." if total.waiting_bytes else ""
    return f"{', '.join(words)}.{waiting}"


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
