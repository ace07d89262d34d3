"""What is true of a generated corpus: counted while it is written, by other code than reads it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from io import TextIOBase
from pathlib import Path
from typing import Any, ClassVar

import orjson

TOKENS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "web_searches", "web_fetches",
)  # fmt: skip


def _zeros() -> list[int]:
    return [0] * len(TOKENS)


@dataclass
class ResponseTruth:
    """One response of the API: billed once, with the greatest figures that any of its lines told."""

    message_id: str
    request_id: str
    uuid: str  # of its first line: names it where there is no message id
    session: str
    model: str
    day: int
    branch: str
    is_sidechain: bool
    is_warmup: bool
    tokens: list[int] = field(default_factory=_zeros)


@dataclass
class SessionTruth:
    """One session with its sub-agents. `key` is its folder below the root and Claude Code's id."""

    key: str
    project: str
    records: int = 0  # each once; a large output that lies beside the session is one
    prompts: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    api_errors: int = 0
    compactions: int = 0
    agents: int = 0  # files of sub-agents
    agent_calls: int = 0  # calls whose sub-agent has a file
    lines_added: int = 0
    lines_removed: int = 0
    is_warmup: bool = False
    title: str = ""  # "" where no record gives one
    forked_from: str = ""
    paths: set[str] = field(default_factory=set)  # changed files
    tokens: list[int] = field(default_factory=_zeros)

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"paths": sorted(self.paths)}


@dataclass
class Truth:
    """Of the whole corpus. Tokens are lists in the order of TOKENS; synthetic answers count in none.

    `responses_path` holds one ResponseTruth per line, `sessions` a SessionTruth per key.
    """

    FOLDED: ClassVar = ("models", "days", "branches", "projects")

    responses_path: str
    bytes: int = 0
    files: int = 0
    lines: int = 0
    records: int = 0
    copies: int = 0
    bad: int = 0
    blank: int = 0
    responses: int = 0
    synthetic: int = 0
    types: Counter[str] = field(default_factory=Counter)
    tools: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))  # calls, errors
    sessions: dict[str, SessionTruth] = field(default_factory=dict)
    models: dict[str, list[int]] = field(default_factory=lambda: defaultdict(_zeros))
    days: dict[str, list[int]] = field(default_factory=lambda: defaultdict(_zeros))
    branches: dict[str, list[int]] = field(default_factory=lambda: defaultdict(_zeros))
    projects: dict[str, list[int]] = field(default_factory=lambda: defaultdict(_zeros))
    tokens: list[int] = field(default_factory=_zeros)
    warmup_tokens: list[int] = field(default_factory=_zeros)

    def settle(self, response: ResponseTruth, file: TextIOBase) -> None:
        """Add a response that no further line will tell of."""
        session = self.sessions[response.session]
        sums = [
            self.tokens, session.tokens, self.models[response.model], self.days[str(response.day)],
            self.branches[response.branch], self.projects[session.project],
        ]  # fmt: skip
        if response.is_warmup:
            sums.append(self.warmup_tokens)
        for total in sums:
            for place, value in enumerate(response.tokens):
                total[place] += value
        self.responses += 1
        file.write(orjson.dumps(vars(response)).decode() + "\n")

    def write(self, path: Path) -> None:
        """As JSON."""
        told = dict(vars(self)) | {"sessions": {key: one.as_json() for key, one in self.sessions.items()}}
        path.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))

    def response_rows(self) -> list[dict[str, Any]]:
        """Every response, as written."""
        with open(self.responses_path, "rb") as file:
            return [orjson.loads(line) for line in file]
