"""What services refuse, in sentences that the page and the API show as they are."""

from __future__ import annotations


class LaunchRefused(Exception):
    """A start, stop or restart that cannot be done now.

    `code` is stable for programs; `data` is JSON-able and joins the API's answer.
    """

    def __init__(self, message: str, code: str, data: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.data = data or {}


class CatalogueInvalid(Exception):
    """A models.yaml that is refused whole; each problem names line and key."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems[:3]))
        self.problems = problems
