# ruff: noqa: E402 - Django is set up before what needs it is imported
"""How long it takes to draw a record of a transcript, in processor time: view and template.

    .venv/bin/python -m bench.render_records [FOLDER]

FOLDER holds transcripts (*.jsonl, at any depth); without it a corpus of 20 MB is made
(bench/transcript_corpus.py). Each record is drawn as the page of a session draws it: a call with its
result. The first use of each language's lexer is within; what equals an earlier text is remembered.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkweb.settings")

import django

django.setup()

from django.template.loader import render_to_string

from bench.transcript_corpus import corpus_make
from transcripts_app.format.kinds import READ, Kind
from transcripts_app.format.lines import LineBad, line_read
from transcripts_app.format.record import blocks_of, record_parse
from transcripts_app.render.record import record_view


def main() -> None:
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        corpus_make(Path(folder), 20, 1)
        measure(Path(folder))


def measure(folder: Path) -> None:
    """Draw every record that a page shows and print what it took, by kind."""
    times: dict[str, list[tuple[float, int]]] = {}
    for path in sorted(folder.rglob("*.jsonl")):
        records = list(_records(path))
        results = _results(records)
        for record in records:
            kind = record_parse(record).kind
            if kind in READ and kind != Kind.TOOL_RESULT:
                times.setdefault(kind.name.lower(), []).append(_drawn(record, kind, results))
    everything = [one for several in times.values() for one in several]
    for name, several in [*sorted(times.items()), ("all", everything)]:
        print(f"{name:18} {len(several):7,} records  {_figures(several)}")
    mean = sum(seconds for seconds, _ in everything) / len(everything)
    size = sum(characters for _, characters in everything) / len(everything)
    print(f"a window of 60 records: {60_000 * mean:.1f} ms, {60 * size / 1000:.0f} kB")


def _records(path: Path) -> Any:
    for line in path.read_bytes().split(b"\n"):
        try:
            yield line_read(line)
        except LineBad:
            continue


def _results(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        message = record.get("message")
        for block in blocks_of(message.get("content") if isinstance(message, dict) else None):
            if block.get("type") == "tool_result":
                found[str(block.get("tool_use_id"))] = record
    return found


def _drawn(record: dict[str, Any], kind: Kind, results: dict[str, dict[str, Any]]) -> tuple[float, int]:
    begin = time.process_time()
    view = record_view(record, kind=kind, results=results)
    context = {"view": view, "media_base": "/m/", "whole_url": "/w/"}
    html = render_to_string("transcripts_app/parts/_record.html", context)
    return time.process_time() - begin, len(html)


def _figures(several: list[tuple[float, int]]) -> str:
    times = sorted(1000 * seconds for seconds, _ in several)
    middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
    return f"p50 {middle:.2f} ms  p99 {late:.2f} ms  most {times[-1]:.1f} ms"


if __name__ == "__main__":
    main()
