"""Prices that SparkWeb comes with: Anthropic's list, in dollars. The first migration of prices stores them.

Source: platform.claude.com/docs/en/about-claude/pricing and the models' own pages there, read on
1 December 2026; the cut of Sonnet 5.5's cache reads on 7 October 2026 and Haiku 5.5's two bands by
claudit 1.9.2, which read that page on 24 October 2026. Left out, because unsure: prices of other
clouds, of priority, batch and fast requests, of inference in the US alone, and what long prompts of Opus
and Sonnet 4.6 cost in their first weeks.
"""

from __future__ import annotations

EVER = "2020-01-01"  # since there is the model
SEARCH = "10"  # of a thousand
#         input   output  read    write 5m  write 1h
SHIPPED: dict[str, tuple[str, str, str, str, str]] = {
    "claude-fable-5-1": ("10", "50", "0.25", "12.5", "20"),
    "claude-mythos-5-1": ("10", "50", "0.25", "12.5", "20"),
    "claude-fable-5": ("10", "50", "1", "12.5", "20"),
    "claude-mythos-5": ("10", "50", "1", "12.5", "20"),
    "claude-opus-5-5": ("4", "20", "0.2", "5", "8"),
    "claude-opus-5": ("5", "25", "0.5", "6.25", "10"),
    "claude-opus-4-8": ("5", "25", "0.5", "6.25", "10"),
    "claude-opus-4-7": ("5", "25", "0.5", "6.25", "10"),
    "claude-opus-4-6": ("5", "25", "0.5", "6.25", "10"),
    "claude-opus-4-5": ("5", "25", "0.5", "6.25", "10"),
    "claude-opus-4-1": ("15", "75", "1.5", "18.75", "30"),
    "claude-opus-4": ("15", "75", "1.5", "18.75", "30"),
    "claude-3-opus": ("15", "75", "1.5", "18.75", "30"),
    "claude-sonnet-5-5": ("2", "10", "0.2", "2.5", "4"),
    "claude-sonnet-5": ("2", "10", "0.2", "2.5", "4"),
    "claude-sonnet-4-6": ("3", "15", "0.3", "3.75", "6"),
    "claude-sonnet-4-5": ("3", "15", "0.3", "3.75", "6"),
    "claude-sonnet-4": ("3", "15", "0.3", "3.75", "6"),
    "claude-3-7-sonnet": ("3", "15", "0.3", "3.75", "6"),
    "claude-haiku-5-5": ("0.1", "0.5", "0.01", "0.125", "0.2"),
    "claude-haiku-4-5": ("1", "5", "0.1", "1.25", "2"),
    "claude-3-5-haiku": ("0.8", "4", "0.08", "1", "1.6"),
    "claude-3-haiku": ("0.25", "1.25", "0.03", "0.3", "0.5"),
}
CHANGED = {("claude-sonnet-5-5", "2026-10-07"): ("2", "10", "0.1", "2.5", "4")}
LONG = {  # above so many tokens of prompt: input and output times
    "claude-sonnet-4": (200_000, "2", "1.5"),
    "claude-sonnet-4-5": (200_000, "2", "1.5"),
    "claude-haiku-5-5": (100_000, "5", "5"),
}


def shipped_rows() -> list[dict[str, object]]:
    """Return the rows as fields of ModelPrice."""
    dated = {(pattern, EVER): prices for pattern, prices in SHIPPED.items()} | CHANGED
    return [_row(pattern, day, prices) for (pattern, day), prices in dated.items()]


def _row(pattern: str, day: str, prices: tuple[str, str, str, str, str]) -> dict[str, object]:
    names = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    row: dict[str, object] = dict(zip(names, prices, strict=True))
    row |= {"pattern": pattern, "valid_from": day, "web_search": SEARCH, "note": "Anthropic's list"}
    if pattern in LONG:
        above, into, out = LONG[pattern]
        row |= {"long_above": above, "long_input_factor": into, "long_output_factor": out}
    return row
