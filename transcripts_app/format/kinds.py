"""What a line of a transcript is to a reader. No Django here."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """One per record; a record with several blocks takes the first that fits, in this order:
    tool call, answer, thinking."""

    UNKNOWN = 0  # a record type that we do not know: kept raw, counted
    PROMPT = 1  # what a person typed
    ANSWER = 2  # text of the model
    THINKING = 3
    TOOL_CALL = 4
    TOOL_RESULT = 5
    META = 6  # said to the model in the user's name: caveats, hook output, command expansions
    COMMAND = 7  # a slash command or ! command and its output
    COMPACT_BOUNDARY = 8
    COMPACT_SUMMARY = 9
    SYSTEM = 10
    ATTACHMENT = 11
    PROGRESS = 12
    SNAPSHOT = 13  # file-history-snapshot
    TITLE = 14  # summary, custom-title, ai-title, agent-name
    QUEUE = 15
    PULL_REQUEST = 16
    STATE = 17  # mode, last-prompt and the like: kept raw
    RESULT_FILE = 18  # a large output that lies in tool-results/


READ = (
    Kind.PROMPT, Kind.ANSWER, Kind.THINKING, Kind.TOOL_CALL, Kind.TOOL_RESULT, Kind.COMMAND,
    Kind.COMPACT_BOUNDARY, Kind.COMPACT_SUMMARY, Kind.SYSTEM, Kind.ATTACHMENT, Kind.QUEUE,
    Kind.PULL_REQUEST,
)  # fmt: skip
"""Kinds that a session's page shows (META folded into what it belongs to)."""
