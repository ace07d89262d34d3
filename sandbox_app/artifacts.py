"""Reading what runs left: files to download, pictures to show, output page by page."""

from __future__ import annotations

import base64
from typing import Any

from django.http import FileResponse
from django.utils.http import content_disposition_header

from sandbox_app.artifact_store import artifact_path
from sandbox_app.models import Artifact, ArtifactKind, ToolRun
from sparkweb.api import NotFound

# A file of a run is never a page of ours: no script, no form, no frame, an origin of its own.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; sandbox"
SHOWN_AS_TEXT = ("text/plain", "text/csv", "application/json")


def artifact_response(artifact: Artifact, *, inline: bool = False) -> FileResponse:
    """The bytes, to be saved; with `inline` a raster image is shown. Raises NotFound once it is gone."""
    try:
        file = artifact_path(artifact).open("rb")
    except FileNotFoundError:
        raise NotFound("This file is not kept any more.") from None
    shown = inline and artifact.is_image
    safe = artifact.is_image or artifact.media_type in SHOWN_AS_TEXT
    response = FileResponse(file, content_type=artifact.media_type if safe else "application/octet-stream")
    name = artifact.name.rsplit("/", 1)[-1]
    response["Content-Disposition"] = content_disposition_header(not shown, name) or "attachment"
    response["Content-Security-Policy"] = POLICY
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = "private, max-age=86400, immutable"
    return response


def output_page(run: ToolRun, fd: int = 1, offset: int = 0, limit: int = 65536) -> dict[str, Any]:
    """A piece of the output, in bytes: of the whole where it was kept, else of head and tail."""
    kind = ArtifactKind.STDOUT if fd == 1 else ArtifactKind.STDERR
    told = (run.stdout if fd == 1 else run.stderr).encode()
    whole = run.artifacts.filter(kind=kind).first()
    data, size = (told[offset : offset + limit], len(told)) if whole is None else _piece(whole, offset, limit)
    after = offset + len(data)
    total = run.stdout_bytes if fd == 1 else run.stderr_bytes
    return {
        "fd": fd,
        "offset": offset,
        "size_bytes": size,
        "next_offset": after if data and after < size else None,
        "text": data.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}"),
        "base64": base64.b64encode(data).decode(),
        "whole": whole is not None or total <= size,
    }


def _piece(artifact: Artifact, offset: int, limit: int) -> tuple[bytes, int]:
    try:
        with artifact_path(artifact).open("rb") as file:
            file.seek(offset)
            return file.read(limit), artifact.size_bytes
    except FileNotFoundError:
        raise NotFound("The whole output is not kept any more.") from None
