"""Uploads of transcripts: received in pieces that resume, within limits, then read on request."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from sparkweb.accounts.actor import Actor, audit
from sparkweb.accounts.models import User
from sparkweb.config import DISK_RESERVE_GB
from sparkweb.refusal import Refused
from transcripts_app.importing.unpack import KINDS, UploadRefused, shown, unpack_name_check
from transcripts_app.models_uploads import TranscriptUpload, uploads_root
from transcripts_app.requests import request_make

PIECE_BYTES = 8 * 2**20
OPEN_MOST = 4
STALE_SECONDS = 24 * 3600.0
MB = 2**20


class UploadInvalid(Refused):
    """Something about an upload that cannot be."""

    status = 400


class PieceElsewhere(Refused):
    """Another piece is expected; `data` says at which offset."""


def upload_begin(*, name: str, size: int, actor: Actor) -> TranscriptUpload:
    """Begin to receive a file. Raises UploadInvalid, and Refused where there is no room for it."""
    assert actor.user is not None
    if not name.lower().endswith(KINDS):
        raise UploadInvalid(f"{shown(name)} is none of {', '.join(KINDS)}.", "upload_kind")
    try:
        unpack_name_check(name)
    except UploadRefused as refused:
        raise UploadInvalid(str(refused), "upload_name") from None
    if not 0 < size <= settings.TRANSCRIPT_UPLOAD_MB * MB:
        raise UploadInvalid(
            f"An upload may have 1 byte to {settings.TRANSCRIPT_UPLOAD_MB:,} MiB; this has {size:,} bytes.",
            "upload_size",
        )
    uploads_tidy()
    live = TranscriptUpload.objects.filter(owner=actor.user, request=None)
    if live.count() >= OPEN_MOST:
        raise Refused(f"You have {OPEN_MOST} uploads under way; end or drop one first.", "uploads_many")
    uploads_root().mkdir(mode=0o700, parents=True, exist_ok=True)
    if shutil.disk_usage(uploads_root()).free - 2 * size < DISK_RESERVE_GB * 2**30:
        raise Refused("The disk of the data folder has no room for it.", "disk_full")
    upload = TranscriptUpload.objects.create(
        uid=secrets.token_hex(8), owner=actor.user, name=name, size_bytes=size
    )
    upload.folder.mkdir(mode=0o700)
    return upload


def upload_piece(*, upload: TranscriptUpload, offset: int, data: bytes, actor: Actor) -> int:
    """Take the piece at `offset`; how many bytes are here now. With the last one it is read.

    Raises PieceElsewhere where another is expected, and UploadInvalid for more than was announced.
    """
    if upload.request_id is not None:
        raise Refused("This upload is whole already.", "upload_whole")
    if len(data) > PIECE_BYTES:
        raise UploadInvalid(f"A piece may have {PIECE_BYTES // MB} MiB.", "piece_large")
    try:
        descriptor = os.open(upload.part, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except FileNotFoundError:
        raise Refused("This upload was dropped.", "upload_gone") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        there = os.fstat(descriptor).st_size
        if offset != there:
            raise PieceElsewhere(
                f"The piece at byte {there} is expected.", "piece_elsewhere", {"offset": there}
            )
        if there + len(data) > upload.size_bytes:
            raise UploadInvalid(f"That is more than the {upload.size_bytes:,} bytes announced.", "piece_more")
        if shutil.disk_usage(upload.folder).free - len(data) < DISK_RESERVE_GB * 2**30:
            raise Refused("The disk of the data folder is full; the upload waits.", "disk_full")
        with os.fdopen(os.dup(descriptor), "ab") as file:
            file.write(data)
        there = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    if there == upload.size_bytes:
        _whole(upload, actor)
    return there


def upload_drop(*, upload: TranscriptUpload, actor: Actor) -> None:
    """Forget an upload that is not read yet."""
    if upload.request_id is not None:
        raise Refused("It is being read, or was; that is not taken back here.", "upload_whole")
    shutil.rmtree(upload.folder, ignore_errors=True)
    audit(actor, "transcript_upload_drop", upload.name)
    upload.delete()


def upload_of(user: User, uid: str) -> TranscriptUpload | None:
    """One's own upload."""
    rows = TranscriptUpload.objects.select_related("request", "owner")
    return rows.filter(owner=user, uid=uid[:16].replace("\0", "")).first()


def uploads_tidy() -> int:
    """Drop what was begun and left, and bytes that belong to nothing; how many."""
    root, gone = uploads_root(), 0
    if not root.is_dir():
        return 0
    known = {row.uid: row for row in TranscriptUpload.objects.select_related("request")}
    for folder in root.iterdir():
        row = known.get(folder.name)
        age = time.time() - folder.stat().st_mtime
        waits = row is not None and (row.request is None or row.request.live)
        if age > STALE_SECONDS and not (waits and row is not None and row.request is not None):
            shutil.rmtree(folder, ignore_errors=True)
            gone += 1
    old = timezone.now() - timedelta(seconds=2 * STALE_SECONDS)
    TranscriptUpload.objects.filter(request=None, created_at__lt=old).delete()
    return gone


@transaction.atomic
def _whole(upload: TranscriptUpload, actor: Actor) -> None:
    locked = TranscriptUpload.objects.select_for_update().get(pk=upload.pk)
    if locked.request_id is None:
        locked.request = request_make(
            kind="upload", payload={"upload": upload.uid, "name": upload.name}, actor=actor
        )
        locked.save(update_fields=["request"])
    upload.request = locked.request
