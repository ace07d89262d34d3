"""What the services of this app refuse."""

from __future__ import annotations

from sparkweb.refusal import Refused


class ToolRefused(Refused):
    """A run, session or change that cannot be done now; the code says which rule."""


class ArgumentsInvalid(Refused):
    """Arguments that the tool's schema does not take; each problem names its argument."""

    status = 400

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems[0], "arguments_invalid", {"problems": problems})
        self.problems = problems


class ToolForbidden(Refused):
    """Somebody whose role or key does not reach."""

    status = 403


class ToolUnknown(Refused):
    """A session or run that is not there, or is somebody else's: both are told the same."""

    status = 404


class ToolTooLarge(Refused):
    """Arguments or files beyond what is taken."""

    status = 413


class ToolBusy(Refused):
    """Too many runs of one user wait already."""

    status = 429
    retry_after_seconds = 5


class ToolUnavailable(Refused):
    """No node can take it at the moment."""

    status = 503
    retry_after_seconds = 5
