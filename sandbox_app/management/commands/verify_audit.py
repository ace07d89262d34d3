"""`manage.py verify_audit`: read the whole tool audit again and say whether it holds."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sandbox_app.audit_accept import audit_accept, copies_against
from sandbox_app.audit_checks import check_run, verdict_tell
from sandbox_app.audit_verify import Verdict, chain_verify
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models_audit import AuditCheck
from sparkweb.accounts.actor import Actor

NODES_LOOKS, NODES_LOOK_SECONDS = 20, 0.5


class Command(BaseCommand):
    help = "Verify the tool audit. Exit status 0: it holds; 1: it does not, and the first bad entry is named."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")
        parser.add_argument(
            "--accept", metavar="REASON", help="Accept the chain against copies, after a restore on purpose."
        )
        parser.add_argument(
            "--check", type=int, metavar="ID", help="Do the verification that a page asked for."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["accept"]:
            self._accept(options["accept"])
        verdict = self._asked(options["check"]) if options["check"] else self._now(options["json"])
        if options["json"]:
            self.stdout.write(json.dumps(verdict.to_json()))
        else:
            self._say(verdict)
        if not verdict.ok:
            sys.exit(1)

    def _accept(self, reason: str) -> None:
        try:
            record = audit_accept(actor=Actor(None, "command line", "command"), reason=reason)
        except ToolRefused as refusal:
            raise CommandError(f"{refusal}.") from None
        self.stderr.write(f"Accepted; entry {record.number} says so.")
        for _ in range(NODES_LOOKS):  # nodes that are on take the new head and report it
            if not copies_against():
                return
            time.sleep(NODES_LOOK_SECONDS)

    def _asked(self, check_id: int) -> Verdict:
        check = AuditCheck.objects.filter(pk=check_id).first()
        if check is None:
            raise CommandError(f"There is no verification {check_id}.")
        return check_run(check)

    def _now(self, quiet: bool) -> Verdict:
        shown = not quiet and self.stderr.isatty()

        def progress(rows: int, total: int) -> None:
            self.stderr.write(f"\r{rows:,} of {total:,} entries", ending="")
            if rows >= total:
                self.stderr.write("")

        verdict = chain_verify(progress if shown else None)
        verdict_tell(verdict)
        return verdict

    def _say(self, verdict: Verdict) -> None:
        for fault in verdict.faults:
            self.stdout.write(self.style.ERROR(f"{fault.code}: {fault.sentence}"))
        if verdict.ok:
            self.stdout.write(self.style.SUCCESS(verdict.sentence))
        rate = f", {verdict.rows / verdict.seconds:,.0f} a second" if verdict.seconds else ""
        self.stdout.write(f"{verdict.rows:,} entries read in {verdict.seconds:.2f} s{rate}; ", ending="")
        self.stdout.write(f"{verdict.copies} copies of earlier heads held against them.")
        if verdict.head:
            self.stdout.write(f"Head: {verdict.last} {verdict.head}")
