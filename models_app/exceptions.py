"""What the services of this app refuse."""

from __future__ import annotations

from sparkweb.refusal import Refused


class LaunchRefused(Refused):
    """A start, stop or restart that cannot be done now."""


class CatalogueInvalid(Refused):
    """A models.yaml that is refused whole; each problem names file, line and key."""

    status = 400

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems[0], "catalogue_invalid", {"problems": problems})
        self.problems = problems


class StorageRefused(Refused):
    """A download, pull or deletion that cannot be asked for now."""
