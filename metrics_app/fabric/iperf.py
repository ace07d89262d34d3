"""What iperf3 wrote, as figures or as the name of what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# iperf3's sentences begin alike in all versions and end with strerror's words.
PROBLEMS = {
    "Connection refused": "refused",
    "No route to host": "no_route",
    "Network is unreachable": "no_route",
    "timed out": "timed_out",
    "Operation now in progress": "timed_out",
    "Cannot assign requested address": "address_missing",
    "Address already in use": "port_taken",
    "server is busy": "port_taken",
    "over": "over",
}


def client_figures(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return `bits_per_second` (as received), `bytes`, `retransmits` and `problem` of a client's run.

    None what is not told. `problem` is one of the values above, or iperf3's own sentence.
    """
    end = told.get("end") or {}
    received, sent = end.get("sum_received") or {}, end.get("sum_sent") or {}
    problem = problem_of(told)
    rate = None if problem else _number(received.get("bits_per_second"))
    if rate is None and problem is None:
        problem = "it told no figures"
    return {
        "bits_per_second": rate,
        "bytes": None if problem else _number(sent.get("bytes")),
        "retransmits": None if problem else _number(sent.get("retransmits")),
        "problem": problem,
    }


def problem_of(told: Mapping[str, Any]) -> str | None:
    """Return what iperf3 complained of: a name of ours, else its sentence; None where all went well."""
    error = told.get("error")
    if not error:
        return None
    sentence = str(error)
    return next((name for words, name in PROBLEMS.items() if words in sentence), sentence[:200])


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 1e18 else None
