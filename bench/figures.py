"""What the benchmarks share: percentiles, and one way to print a table or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of `values`; 0 for none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, round(percent / 100 * (len(ranked) - 1)))] if ranked else 0.0


def show(title: str, rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows of one run: as a table, or as one line of JSON."""
    if as_json:
        print(json.dumps({"benchmark": title, "rows": rows}))
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns] + [[_text(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    print(title)
    for line in cells:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
