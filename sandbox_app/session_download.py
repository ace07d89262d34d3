"""A file of a session on its way to somebody: always an attachment, never shown by the browser."""

from __future__ import annotations

import re
import threading
from typing import Any

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

from sandbox_app.models import ToolSession
from sandbox_app.session_files import FilesAway, file_rest, files_read

# Each holds a piece of a file in memory, for as long as its reader takes.
AT_ONCE = 8
_places = threading.BoundedSemaphore(AT_ONCE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Download(StreamingHttpResponse):
    """Gives its place back when it is over, however that was."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._has_place = True

    def close(self) -> None:
        super().close()
        if self._has_place:
            self._has_place = False
            _places.release()


def file_download(session: ToolSession, path: str) -> Download:
    """Answer with a file of a session. Raises as `files_read`, and FilesAway (busy) beyond three at once."""
    if not _places.acquire(blocking=False):
        raise FilesAway(f"{AT_ONCE} downloads are under way; try again when one is through.", "busy")
    try:
        first = files_read(session, path)
        name = _CONTROL.sub("_", path.rstrip("/").rpartition("/")[2])
        return Download(
            file_rest(session, path, first),
            content_type="application/octet-stream",
            headers={
                "Content-Length": str(first.data["size_bytes"]),
                "Content-Disposition": content_disposition_header(True, name) or "attachment",
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "Cache-Control": "no-store",
            },
        )
    except BaseException:
        _places.release()
        raise
