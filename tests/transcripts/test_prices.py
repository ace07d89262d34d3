"""What responses cost: by the price of their day and of the name that fits best; unknown is never zero."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcripts_app.prices import LONG_PROMPT, NO_CACHE_PRICE, NO_PRICE, Price, PriceTable, Used, micros
from transcripts_app.prices_shipped import shipped_rows

OPUS = Price(
    "claude-opus-4-5",
    20200101,
    Decimal(5),
    Decimal(25),
    Decimal("0.5"),
    Decimal("6.25"),
    Decimal(10),
    Decimal(10),
)


def _used(model: str = "claude-opus-4-5-20251101", day: int | None = 20261201, **values: Any) -> Used:
    counts = dict.fromkeys(
        ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "web_searches"), 0
    )
    return Used(model, day, **(counts | values))


def test_each_sort_of_token_has_its_price() -> None:
    used = _used(
        input=1000, output=100, cache_read=10_000, cache_write_5m=200, cache_write_1h=300, web_searches=2
    )
    cost, why = PriceTable([OPUS]).cost(used)
    dollars = Decimal(1000 * 5 + 100 * 25 + 200 * Decimal("6.25") + 300 * 10 + 5000) / 1_000_000 + Decimal(
        "0.02"
    )
    assert (Decimal(cost) / 10**12, why) == (dollars, "")


@pytest.mark.parametrize(
    "model",
    ["claude-opus-4-5", "claude-opus-4-5-20251101", "claude-opus-4-5-latest", "claude-opus-4-5@20251101",
     "claude-opus-4-5-20251101[1m]", "claude-opus-4-5[1m]"],
)  # fmt: skip
def test_snapshots_cost_as_their_model(model: str) -> None:
    assert PriceTable([OPUS]).find(model, 20261201) == OPUS


@pytest.mark.parametrize(
    "model",
    ["claude-opus-4", "claude-opus-4-5-6", "claude-opus-4-55", "xclaude-opus-4-5", "", "claude-opus-4-5\n"],
)
def test_another_name_has_no_price(model: str) -> None:
    assert PriceTable([OPUS]).cost(_used(model, input=5)) == (0, NO_PRICE)


def test_the_day_and_the_longest_name_decide() -> None:
    old, new = (Price("qwen*", day, Decimal(n), Decimal(n)) for day, n in ((20260101, 1), (20260601, 2)))
    coder = Price("qwen3-coder*", 20260301, Decimal(0), Decimal(0))
    table = PriceTable([new, coder, old])
    assert table.find("qwen2", 20251231) is None
    assert table.find("qwen2", 20260531) == old
    assert table.find("qwen2", 20260601) == table.find("qwen2", None) == new
    assert table.find("qwen3-coder:30b", 20260601) == coder
    assert table.find("qwen3-coder:30b", 20260228) == old
    assert table.cost(_used("qwen3-coder:30b", input=10**9)) == (0, "")


def test_what_is_priced_otherwise_has_no_price() -> None:
    table = PriceTable([OPUS, Price("plain", 20200101, Decimal(1), Decimal(1), long_above=100)])
    assert table.cost(_used(input=5, service_tier="batch")) == (0, "batch tier")
    assert table.cost(_used(input=5, speed="fast")) == (0, "fast speed")
    assert table.cost(_used(input=5, service_tier="standard", speed="standard"))[1] == ""
    assert table.cost(_used("plain", cache_read=5)) == (0, NO_CACHE_PRICE)
    assert table.cost(_used("plain", input=101)) == (0, LONG_PROMPT)
    assert table.cost(_used("plain", input=100))[1] == ""


def test_shipped_prices_are_those_of_the_list() -> None:
    table = PriceTable(_shipped())
    assert table.cost(_used("claude-opus-4-20250514", input=10**6, output=10**6))[0] == 90 * 10**12
    sonnet = "claude-sonnet-4-5-20250929"
    assert table.cost(_used(sonnet, input=200_000, output=1000))[0] == 615 * 10**9
    assert table.cost(_used(sonnet, input=200_000, cache_read=1, output=1000))[0] == 1_222_500_600_000
    before, since = (
        table.cost(_used("claude-sonnet-5-5", day, cache_read=10**6))[0] for day in (20261006, 20261007)
    )
    assert (before, since) == (200 * 10**9, 100 * 10**9)
    assert table.find("claude-opus-5-6", 20261201) is None


def _shipped() -> list[Price]:
    """Through the model, as the import process reads them, without a database."""
    from transcripts_app.models_prices import ModelPrice

    def typed(name: str, value: Any) -> Any:
        if name == "valid_from":
            return date.fromisoformat(value)
        return value if name in ("pattern", "note", "long_above") else Decimal(value)

    rows = [{name: typed(name, value) for name, value in row.items()} for row in shipped_rows()]
    return [ModelPrice(**row).as_price() for row in rows]


counts = st.integers(0, 10**9)
prices = st.decimals(0, 999, places=6)


@given(counts, counts, counts, counts, counts, st.integers(0, 1000), prices, prices, prices, prices, prices)
def test_costs_are_exact_sums(
    input: int, output: int, read: int, five: int, hour: int, searches: int, pi: Decimal, po: Decimal,
    pr: Decimal, p5: Decimal, p1: Decimal,
) -> None:  # fmt: skip
    table = PriceTable([Price("m", 20200101, pi, po, pr, p5, p1, pi)])
    cost, why = table.cost(_used("m", input=input, output=output, cache_read=read, cache_write_5m=five,
                                 cache_write_1h=hour, web_searches=searches))  # fmt: skip
    exact = (
        sum(
            Fraction(count) * Fraction(price)
            for count, price in zip((input, output, read, five, hour), (pi, po, pr, p5, p1), strict=True)
        )
        / 10**6
        + Fraction(searches) * Fraction(pi) / 1000
    )
    assert why == ""
    assert Fraction(cost, 10**12) == exact
    assert abs(Fraction(micros(cost), 10**6) - exact) <= Fraction(1, 2 * 10**6)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_pattern_and_name_are_borne(pattern: str, name: str) -> None:
    table = PriceTable([Price(pattern, 20200101, Decimal(1), Decimal(1))])
    assert table.find(name, 20261201) in (None, *table.prices)
    if "*" not in pattern:
        assert table.find(pattern, 20261201) is not None
