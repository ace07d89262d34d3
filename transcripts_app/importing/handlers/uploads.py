"""Reading an upload: unpacked, read into the archive as its owner's, and removed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from django.conf import settings

from sparkweb.config import DISK_RESERVE_GB
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.requests import Job, RequestRefused, handler
from transcripts_app.importing.run import ImportRun
from transcripts_app.importing.unpack import Limits, UploadRefused, paths_move, unpack
from transcripts_app.importing.walk import found_at
from transcripts_app.importing.writer import Writer, now_ms
from transcripts_app.models_uploads import TranscriptUpload

FILES_AT_ONCE = 50


@handler("upload")
def upload_read(job: Job) -> dict[str, Any]:
    """Read one upload. Again is as good as once: what was read already is found as it was."""
    upload = TranscriptUpload.objects.select_related("owner").filter(uid=job.payload["upload"]).first()
    if upload is None or not upload.part.exists():
        raise RequestRefused("The upload is no longer here.")
    folder, root = upload.folder / "unpacked", upload_root(upload.owner_id)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    limits = Limits(unpacked=settings.TRANSCRIPT_UNPACKED_MB * 2**20, disk_reserve=DISK_RESERVE_GB * 2**30)
    try:
        unpacked = unpack(
            upload.part, upload.name, folder, limits, lambda done: job.progress(done, 0, "Unpacking")
        )
        if not unpacked.paths:
            raise UploadRefused(f"{upload.name} holds no transcript: no .jsonl of Claude Code.")
        paths = list(paths_move(unpacked, folder, root))
        run, sessions = _read(job, upload, root, paths)
    except UploadRefused as refused:
        shutil.rmtree(upload.folder, ignore_errors=True)
        raise RequestRefused(str(refused)) from None
    shutil.rmtree(upload.folder, ignore_errors=True)
    _files_remove(root, paths)
    return _told(run, len(paths), sessions, unpacked.left_out)


def upload_root(owner: int) -> Path:
    """Where the files of a user's uploads lie while they are read: the same each time, so that what
    was uploaded before is known."""
    return Path(settings.DATA_DIR) / "transcript-uploads-read" / str(owner)


def upload_node(owner: int) -> str:
    """The node that a user's uploads count as: nobody else's projects are mixed into theirs."""
    return f"upload-{owner}"


def _read(job: Job, upload: TranscriptUpload, root: Path, paths: list[str]) -> tuple[ImportRun, int]:
    _runs_close(job.writer)
    run = ImportRun(job.writer, "upload")
    node = upload_node(upload.owner_id)
    try:
        for at in range(0, len(paths), FILES_AT_ONCE):
            found = [
                one for one in (found_at(str(root), path) for path in paths[at : at + FILES_AT_ONCE]) if one
            ]
            run.source_read(node, root, "upload", upload.owner.username, only=found)
            job.progress(at + len(found), len(paths), f"Read {at + len(found)} of {len(paths)} files")
    except BaseException as error:
        run.end(f"{type(error).__name__}: {error}"[:500] if isinstance(error, Exception) else "It was ended.")
        raise
    run.end()
    return run, _sessions(job.writer, node, str(root), paths)


def _sessions(writer: Writer, node: str, root: str, paths: list[str]) -> int:
    row = writer.connection.execute(
        "SELECT id FROM archive_source WHERE node = ? AND root = ?", (node, root)
    ).fetchone()
    query = f"SELECT session_id FROM archive_transcriptfile WHERE source_id = {int(row[0])} AND path IN (%s)"  # noqa: S608
    return len({session for (session,) in writer.where_in(query, paths) if session is not None})


def _runs_close(writer: Writer) -> None:
    """Runs of uploads that a kill left open."""
    with writer.transaction() as connection:
        connection.execute(
            "UPDATE archive_importrun SET state = 'failed', ended_ms = ?, error = ? "
            "WHERE trigger = 'upload' AND state = 'running'",
            (now_ms(), "The archive process ended while it read this; it was read again."),
        )


def _files_remove(root: Path, paths: list[str]) -> None:
    for path in paths:
        (root / path).unlink(missing_ok=True)
    shutil.rmtree(root, ignore_errors=True)


def _told(run: ImportRun, files: int, sessions: int, left_out: int) -> dict[str, Any]:
    total: Count = run.total
    sentence = (
        f"{files:,} file{'s' if files != 1 else ''}, {sessions:,} session{'s' if sessions != 1 else ''}: "
        f"{total.records:,} records new ({total.copies:,} of them known already), {total.bad:,} bad lines."
    )
    if left_out:
        sentence += f" {left_out:,} other files were left out."
    return {
        "sentence": sentence, "run": run.id, "files": files, "sessions": sessions, "left_out": left_out,
        "records": total.records, "copies": total.copies, "bad": total.bad, "bytes": total.bytes,
    }  # fmt: skip
