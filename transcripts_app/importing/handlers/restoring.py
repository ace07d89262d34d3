"""Writing a session back into the source that it was read from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transcripts_app.archive.models import Session
from transcripts_app.importing.requests import Job, RequestRefused, handler
from transcripts_app.restoring import RestoreRefused, session_restore


@handler("restore")
def restore(job: Job) -> dict[str, Any]:
    """Write one session back. Again is as good as once: what is there is left."""
    session = Session.objects.select_related("source").filter(key=str(job.payload.get("session"))).first()
    if session is None:
        raise RequestRefused("There is no such session.")
    if session.source.kind != "local":
        raise RequestRefused(
            f"It was read on {session.source.node}: run "
            f"`manage.py restore_transcript {session.key} --to FOLDER` and copy the folder there."
        )
    try:
        done = session_restore(session, Path(session.source.root))
    except RestoreRefused as refused:
        raise RequestRefused(str(refused)) from None
    return {"sentence": done.sentence, "written": done.written, "there": done.there, "left": done.left}
