"""What responses cost, by a dated table of prices. No Django here.

Prices are counted in millionths of a millionth of a dollar ("pico"), so that every sum is exact:
a dollar per million tokens is 1,000,000 pico per token. A price of zero costs nothing; no price is
no cost, never zero.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from decimal import Decimal
from typing import Any

PICO_PER_MICRO = 1_000_000
TOKEN_PICO = 1_000_000  # per token, of a dollar per million
SEARCH_PICO = 1_000_000_000  # per search, of a dollar per thousand
NORMAL = ("", "standard")
SNAPSHOT = r"(-20\d{6}|@20\d{6}|-latest)?(\[1m\])?"  # what follows a model's name: date, window
NO_PRICE, NO_CACHE_PRICE, NO_SEARCH_PRICE = "no price", "no price of its cache", "no price of searches"
LONG_PROMPT = "no price of long prompts"


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of one model from a day on: dollars per million tokens, per thousand searches.

    A prompt of more than `long_above` tokens, cached ones among them, costs `long_input_factor` times
    as much, and its answer `long_output_factor` times; without factors such a request has no price.
    """

    pattern: str
    valid_from: int  # 20261201
    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None
    web_search: Decimal | None = None
    long_above: int | None = None
    long_input_factor: Decimal | None = None
    long_output_factor: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """What one response used."""

    model: str
    day: int | None  # 20261201, UTC; None where no record tells it: priced as of today
    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    web_searches: int
    service_tier: str = ""
    speed: str = ""

    @property
    def prompt(self) -> int:
        """Tokens of the prompt, cached ones too."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h


class PriceTable:
    """All prices. The longest pattern that fits wins; of its rows the last that was valid on the day."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self.prices = sorted(prices, key=lambda one: (-len(one.pattern), one.pattern, -one.valid_from))
        self._shapes = {one.pattern: _shape(one.pattern) for one in self.prices}
        self._known: dict[tuple[str, int], Price | None] = {}

    def as_json(self) -> str:
        """As text, equal for equal prices."""
        rows = [[None if value is None else f"{value:f}" if isinstance(value, Decimal) else value
                 for value in astuple(price)] for price in self.prices]  # fmt: skip
        return json.dumps(rows)

    @classmethod
    def from_json(cls, text: str) -> PriceTable:
        """From what `as_json` made."""
        return cls(
            Price(*(_typed(name, value) for name, value in zip(PRICE_FIELDS, row, strict=True)))
            for row in json.loads(text)
        )

    def find(self, model: str, day: int | None) -> Price | None:
        """Return the price of a model on a day, the newest for None; None where it has none."""
        key = (model, 99991231 if day is None else day)
        if key not in self._known:
            self._known[key] = self._find(*key)
        return self._known[key]

    def _find(self, model: str, day: int) -> Price | None:
        for price in self.prices:
            if price.valid_from <= day and self._shapes[price.pattern].fullmatch(model):
                return price
        return None

    def cost(self, used: Used) -> tuple[int, str]:
        """Return what a response cost in pico, or 0 and in words why it has no price."""
        if used.service_tier not in NORMAL:
            return 0, f"{used.service_tier} tier"
        if used.speed not in NORMAL:
            return 0, f"{used.speed} speed"
        price = self.find(used.model, used.day)
        if price is None:
            return 0, NO_PRICE
        return _cost(price, used)


def _cost(price: Price, used: Used) -> tuple[int, str]:
    into, out = Decimal(1), Decimal(1)
    if price.long_above is not None and used.prompt > price.long_above:
        if price.long_input_factor is None or price.long_output_factor is None:
            return 0, LONG_PROMPT
        into, out = price.long_input_factor, price.long_output_factor
    cached = (
        (used.cache_read, price.cache_read), (used.cache_write_5m, price.cache_write_5m),
        (used.cache_write_1h, price.cache_write_1h),
    )  # fmt: skip
    total = used.input * price.input * into + used.output * price.output * out
    for tokens, one in cached:
        if tokens and one is None:
            return 0, NO_CACHE_PRICE
        total += tokens * (one or 0) * into
    if used.web_searches and price.web_search is None:
        return 0, NO_SEARCH_PRICE
    searches = used.web_searches * (price.web_search or 0) * SEARCH_PICO
    return int(total * TOKEN_PICO + searches), ""


def micros(pico: int) -> int:
    """Millionths of a dollar, half up."""
    return (pico + PICO_PER_MICRO // 2) // PICO_PER_MICRO


def _shape(pattern: str) -> re.Pattern[str]:
    """`claude-opus-5` is also its dated snapshots; `*` stands for anything."""
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")) + SNAPSHOT, re.DOTALL)


def _typed(name: str, value: Any) -> Any:
    return value if value is None or name in ("pattern", "valid_from", "long_above") else Decimal(value)


PRICE_FIELDS = tuple(field.name for field in fields(Price))
