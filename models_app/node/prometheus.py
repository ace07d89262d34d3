"""The few samples that we want out of a Prometheus text, however large or odd it is. Pure.

Source: Prometheus, exposition formats, "Text-based format".
"""

from __future__ import annotations

import math
import re
from collections.abc import Container
from dataclasses import dataclass

LINES_MOST = 20_000
LINE_LIMIT = 4_096
SAMPLES_MOST = 500

_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]{0,199}")
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]{0,99})="((?:[^"\\]|\\.){0,300})"')


@dataclass(frozen=True)
class Sample:
    """One line: a series' name, its labels (escapes as they stand) and its value, which is finite."""

    name: str
    labels: dict[str, str]
    value: float


def samples_parse(body: bytes, names: Container[str]) -> list[Sample]:
    """The samples of the named series, in order. Lines that are none, too long or not a number are skipped.

    Bounded: 20,000 lines of at most 4 kB, 500 samples.
    """
    found: list[Sample] = []
    for raw in body.split(b"\n", LINES_MOST)[:LINES_MOST]:
        if len(raw) > LINE_LIMIT or raw.startswith(b"#"):
            continue
        sample = _sample(raw.decode("utf-8", "replace"), names)
        if sample:
            found.append(sample)
        if len(found) >= SAMPLES_MOST:
            break
    return found


def _sample(line: str, names: Container[str]) -> Sample | None:
    match = _NAME.match(line)
    if match is None or match[0] not in names:
        return None
    rest, labels = line[match.end() :], {}
    if rest.startswith("{"):
        inside, closed, rest = rest[1:].rpartition("}")
        if not closed:
            return None
        labels = dict(_LABEL.findall(inside))
    words = rest.split()
    try:
        value = float(words[0])
    except (IndexError, ValueError):
        return None
    return Sample(match[0], labels, value) if math.isfinite(value) else None
