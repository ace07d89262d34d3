"""What a service refuses, said once for every edge: page, API, admin, task."""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):
    """Something that cannot be done now, in a sentence that is shown as it is.

    `code` is stable for programs; `data` is JSON-able and joins the API's
    answer, which has the HTTP status `status`, and a Retry-After header where
    `retry_after_seconds` is set.
    """

    status = 409
    retry_after_seconds: int | None = None

    def __init__(self, message: str, code: str, data: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.data = dict(data or {})
