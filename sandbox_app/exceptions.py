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
