"""What a node told of a step, cut down to what a test keeps. Pure.

Nodes are not trusted like the centre: unknown keys go, numbers are numbers, texts are short.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

RAILS_MOST = 4
INTERFACES_MOST = 16
TEXTS = ("name", "twin", "problem")
NUMBERS = (
    *("rail", "sent", "received", "milliseconds", "mtu", "speed_mbps"),
    *("bits_per_second", "bytes", "retransmits"),
)
SWITCHES = ("up", "large_came")


def answer_read(told: Any) -> dict[str, Any]:
    """Return {"rails": […], "carried": {interface: bytes}}; what cannot be read is left out."""
    fields = told if isinstance(told, dict) else {}
    rails, carried = fields.get("rails"), fields.get("carried")
    rows = rails[:RAILS_MOST] if isinstance(rails, list) else []
    return {
        "rails": [_rail(row) for row in rows if isinstance(row, dict)],
        "carried": _carried(carried) if isinstance(carried, dict) else {},
    }


def _rail(row: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, value in row.items():
        if name in TEXTS:
            read[name] = None if value is None else _text(value)
        elif name in NUMBERS:
            read[name] = _number(value)
        elif name in SWITCHES:
            read[name] = value if isinstance(value, bool) else None
    return read


def _carried(told: Mapping[Any, Any]) -> dict[str, float]:
    rows = ((_text(name, 32), _number(sent)) for name, sent in list(told.items())[:INTERFACES_MOST])
    return {name: sent for name, sent in rows if sent is not None}


def _number(value: Any) -> float | int | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) and 0 <= value < 1e18 else None


def _text(value: Any, limit: int = 200) -> str:
    return str(value).replace("\0", "")[:limit]
