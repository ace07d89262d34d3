"""Exports in every state, a masking profile of an owner, and a session with secrets, for screenshots."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings

from sparkweb.accounts.actor import SYSTEM
from sparkweb.accounts.models import User
from tests.support.claude_code import Transcript
from transcripts_app.archive.models import Session
from transcripts_app.importing.run import ImportRun
from transcripts_app.importing.writer import Writer
from transcripts_app.models import TranscriptExport
from transcripts_app.models_redaction import frozen
from transcripts_app.redaction.profiles import BUILT_IN, profile_save


def export_seed(folder: Path, now: datetime, admin: User) -> dict[str, str]:
    """Make them, and return the pages to look at."""
    one = Transcript(folder, cwd="/home/ada/deploy")
    one.prompt("The deploy to 10.1.2.3 fails. The token is ghp" + "_" + "a1B2" * 9 + ", ask ada@example.com")
    call = one.call("Bash", command="cat .env && git push", description="Look at the settings")
    one.result(call, "DB_PASSWORD=swordfish7\nAWS_ACCESS_KEY_ID=AKIA" + "IOSFODNN7EXAMPLE\n")
    one.answer("The password `DB_PASSWORD=swordfish7` was wrong in two places. Both are right now.")
    one.write()
    with Writer(settings.ARCHIVE_PATH) as writer:
        run = ImportRun(writer, "command")
        run.source_read("spark-1", folder)
        run.end()
    profile_save(
        name="for-customers", about="Names of customers too", rules=["keys", "passwords", "emails", "paths"],
        patterns=[{"name": "customer", "pattern": r"ACME-\d+"}], actor=SYSTEM,
    )  # fmt: skip
    secrets = frozen(BUILT_IN["secrets"])
    rows = (
        {"label": "Project shop", "what": "project", "format": "html", "profile": secrets, "state": "done",
         "done": 12, "total": 12, "masked": 7, "size_bytes": 4_812_331},
        {"label": "Search basket count", "what": "search", "format": "markdown", "profile": secrets,
         "state": "failed", "reason": "The search 'basket count' finds nothing"},
        {"label": "Everything", "what": "all", "format": "jsonl", "profile": None, "state": "running",
         "done": 310, "total": 1204},
    )  # fmt: skip
    for number, row in enumerate(rows):
        made = TranscriptExport.objects.create(user=admin, **row)
        TranscriptExport.objects.filter(pk=made.pk).update(
            created_at=now - timedelta(minutes=40 - 15 * number)
        )
    key = Session.objects.get(project__path="/home/ada/deploy").key
    return {
        "transcript-exports": f"/transcripts/export/?session={key}",
        "transcript-redaction": "/transcripts/redaction/for-customers/",
        "transcript-redaction-new": "/transcripts/redaction/",
        "transcript-redaction-preview": f"/transcripts/redaction/preview/?session={key}&profile=sharing",
        "transcript-masked": f"/transcripts/sessions/{key}/",
    }
