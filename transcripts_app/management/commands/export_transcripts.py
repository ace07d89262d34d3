"""`manage.py export_transcripts`: transcripts as HTML that searches itself, Markdown, JSON or JSONL."""

from __future__ import annotations

import argparse
import os
import sys
import time
import webbrowser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from transcripts_app.archive.models import Project, Session
from transcripts_app.export.out import ExportRefused, FolderOut, Out, ZipOut, export_verify
from transcripts_app.export.run import export_run
from transcripts_app.export.selection import Format, Selection, What, sessions_selected
from transcripts_app.models_redaction import frozen
from transcripts_app.redaction.profiles import profile_of, profiles

DEFAULT = Path("~/claude-archive")
TOLD_EVERY_SECONDS = 0.2


class Command(BaseCommand):
    help = (
        "Write transcripts to a folder (or a .zip): HTML that searches itself without a server, Markdown, "
        "JSON, or the lines as Claude Code wrote them. Only what changed since the last time is written anew."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--project", help="a project's path, name or key")
        what.add_argument("--session", help="a session's key or Claude Code's id, or the beginning of it")
        what.add_argument("--search", help="the sessions in which this search finds something")
        parser.add_argument("--format", choices=Format.values, default=Format.HTML)
        parser.add_argument("--redact", metavar="PROFILE", help="mask what this profile says, as `secrets`")
        parser.add_argument("--output", "-o", type=Path, default=DEFAULT, help=f"{DEFAULT} if absent")
        parser.add_argument("--open", action="store_true", help="open it in the browser")
        parser.add_argument(
            "--incremental", action=argparse.BooleanOptionalAction, default=True,
            help="take over sessions that did not change since the last export to this place (the default)",
        )  # fmt: skip
        parser.add_argument("--warmups", action="store_true", help="warm-up sessions too")
        parser.add_argument(
            "--verify", type=Path, metavar="PATH", help="check an export against its manifest"
        )
        parser.add_argument("--job", help=argparse.SUPPRESS)

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["job"]:
            from transcripts_app.export.jobs import NICE, export_carry_out

            os.nice(NICE)  # a process of its own, which the page's export started
            export_carry_out(options["job"])
        elif options["verify"]:
            self._verify(options["verify"])
        else:
            self._export(options)

    def _export(self, options: dict[str, Any]) -> None:
        output = Path(os.path.abspath(options["output"].expanduser()))  # noqa: PTH100 - links stay links
        profile = profile_of(options["redact"]) if options["redact"] else None
        if options["redact"] and profile is None:
            known = ", ".join(one.name for one in profiles())
            raise CommandError(f"There is no profile {options['redact']!r}; there are {known}.")
        try:
            sessions = sessions_selected(self._selection(options))
            out: Out = ZipOut(output) if output.suffix == ".zip" else FolderOut(output)
            result = export_run(
                sessions, out, format=options["format"], profile=frozen(profile) if profile else None,
                incremental=options["incremental"], progress=self._progress(),
            )  # fmt: skip
        except ExportRefused as refused:
            raise CommandError(f"{refused}.") from None
        except KeyboardInterrupt:
            raise CommandError(f"Stopped; {output} is as it was before.", returncode=130) from None
        except OSError as error:
            raise CommandError(f"{error.strerror} at {error.filename or output}.") from None
        self._say(f"\r{output}: {result.sessions} sessions, " + (
            "nothing changed" if result.unchanged else f"{result.written} written"
            + (f", {result.masked} places masked" if profile else "")))  # fmt: skip
        if options["open"]:
            self._open(output / "index.html" if output.is_dir() else output)

    def _verify(self, path: Path) -> None:
        wrong = export_verify(path.expanduser())
        for sentence in wrong:
            self.stderr.write(sentence)
        if wrong:
            raise CommandError(f"{len(wrong)} thing{'s' if len(wrong) > 1 else ''} wrong.")
        self.stdout.write(f"{path}: every file is as its digest says.")

    def _selection(self, options: dict[str, Any]) -> Selection:
        warm = options["warmups"]
        if options["session"]:
            return Selection(What.SESSION, _session_key(options["session"]))
        if options["project"]:
            return Selection(What.PROJECT, _project_key(options["project"]), warmups=warm)
        if options["search"]:
            return Selection(What.SEARCH, query=options["search"], warmups=warm)
        return Selection(warmups=warm)

    def _progress(self) -> Any:
        told = 0.0

        def tell(done: int, total: int) -> None:
            nonlocal told
            if sys.stderr.isatty() and (time.monotonic() - told > TOLD_EVERY_SECONDS or done == total):
                told = time.monotonic()
                sys.stderr.write(f"\r{done} of {total} sessions ")
                sys.stderr.flush()

        return tell

    def _open(self, path: Path) -> None:
        if path.exists() and not webbrowser.open(path.as_uri()):
            self._say(f"No browser could be started; open {path}")

    def _say(self, text: str) -> None:
        self.stdout.write(text.lstrip("\r"))


def _project_key(text: str) -> str:
    path = str(Path(text).expanduser()).rstrip("/") or "/"
    for found in ({"key": text[:16]}, {"path": text}, {"path": path}, {"name": text}):
        rows = Project.objects.filter(**found)[:2]
        if len(rows) == 1:
            return rows[0].key
        if len(rows) > 1:
            listed = ", ".join(f"{one.path} on {one.node} ({one.key})" for one in rows)
            raise ExportRefused(f"There are several: {listed}; name one by its key")
    raise ExportRefused(f"There is no project {text!r}")


def _session_key(text: str) -> str:
    if len(text) < 4:
        raise ExportRefused("Four letters of a session's id are the least")
    for found in ({"key": text[:16]}, {"session_id": text}, {"session_id__startswith": text}):
        rows = Session.objects.filter(**found)[:2]
        if len(rows) == 1:
            return rows[0].key
        if len(rows) > 1:
            raise ExportRefused(f"Several sessions are called {text!r}; name one by its key: "
                                f"{', '.join(one.key for one in rows)}")  # fmt: skip
    raise ExportRefused(f"There is no session {text!r}")
