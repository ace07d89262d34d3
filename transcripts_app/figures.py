"""Figures of what a visitor may see: what they are, and how people read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

DIMENSIONS = ("day", "project", "model", "branch", "user", "tool")
TOKENS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
)  # fmt: skip
USAGE = ("responses", *TOKENS, "web_searches", "web_fetches")
CALLS = ("tool_calls", "tool_errors", "lines_added", "lines_removed")
NO_PRICE = "no price"
MICROS = 1_000_000


@dataclass(frozen=True)
class Wanted:
    """What figures are narrowed to; filters combine. Days are numbers: 20261201, UTC, both included."""

    since: int | None = None
    until: int | None = None
    project: str = ""
    model: str = ""
    branch: str = ""
    user: str = ""
    tool: str = ""

    @property
    def narrows(self) -> bool:
        """Whether anything but the time is narrowed."""
        return any((self.project, self.model, self.branch, self.user, self.tool))


@dataclass
class Figures:
    """One row: of everything, or of one day, project, model, branch, user or tool.

    `cost_micros` is the cost of what has a price, in millionths of a dollar; `unpriced` says how many
    responses have none. `active_ms`, `prompts` and `files_touched` are None where a row cannot tell them.
    """

    key: str = ""
    name: str = ""
    sessions: int = 0
    responses: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_searches: int = 0
    web_fetches: int = 0
    cost_micros: int = 0
    unpriced: int = 0
    warmup_responses: int = 0
    warmup_cost_micros: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    lines_added: int = 0
    lines_removed: int = 0
    active_ms: int | None = None
    prompts: int | None = None
    files_touched: int | None = None
    why_unpriced: dict[str, int] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """All of them."""
        return sum(int(getattr(self, name)) for name in TOKENS)

    @property
    def cache_share(self) -> float | None:
        """Which share of the prompts' tokens came out of the cache, 0 to 1; None where there were none."""
        written = self.cache_write_5m_tokens + self.cache_write_1h_tokens
        whole = self.input_tokens + self.cache_read_tokens + written
        return self.cache_read_tokens / whole if whole else None

    @property
    def has_price(self) -> bool:
        """Whether any response has one; where none has, the cost is unknown, not zero."""
        return self.unpriced < self.responses or not self.responses

    def add(self, other: Figures) -> None:
        """Add another row's sums; its sessions are others."""
        names = ("sessions", "cost_micros", "unpriced", "warmup_responses", "warmup_cost_micros")
        for name in (*names, *USAGE, *CALLS):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_json(self) -> dict[str, Any]:
        """As the API and the exports tell it: a cost of null where nothing has a price."""
        share = self.cache_share
        told = vars(self) | {"tokens": self.tokens, "cache_share": None if share is None else round(share, 4)}
        return told if self.has_price else told | {"cost_micros": None}


def cost_words(micros: int | None) -> str:
    """Write millionths of a dollar: `$12.30`, `$0.0042`; "no price" for None, which is not zero."""
    if micros is None:
        return NO_PRICE
    dollars = micros / MICROS
    if micros == 0 or abs(dollars) >= 0.01:
        return f"${dollars:,.2f}"
    return f"${dollars:.4f}" if abs(micros) >= 100 else "under $0.0001"


def tokens_words(count: int | None) -> str:
    """Write a number of tokens: `940`, `12.3 k`, `4.56 M`, `1.2 G`. A dash for None."""
    if count is None:
        return "–"
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        # What would round up to a thousand of a unit is one of the next.
        if abs(count) >= size * 0.9995:
            amount = count / size
            return (
                f"{amount:.2f} {unit}"
                if abs(amount) < 9.995
                else f"{amount:.{1 if abs(amount) < 99.95 else 0}f} {unit}"
            )
    return str(count)


def day_words(key: str) -> str:
    """20261201 as 2026-12-01; empty for none."""
    return f"{key[:-4]}-{key[-4:-2]}-{key[-2:]}" if len(key) > 4 else key


def day_number(day: date) -> int:
    """1 December 2026 as 20261201."""
    return day.year * 10000 + day.month * 100 + day.day


def day_ms(number: int) -> int:
    """When a day begins, in milliseconds since the epoch, UTC."""
    day = datetime(number // 10000, number // 100 % 100, number % 100, tzinfo=UTC)
    return round(day.timestamp() * 1000)


def days_back(days: int) -> date:
    """The day that begins a span of so many days which ends today, UTC."""
    return datetime.now(UTC).date() - timedelta(days=days - 1)
