# ruff: noqa: E501 - tables of attacks
"""Markup, script links, SVG, data addresses and CSS in every text field: what is drawn is made by us alone.

The browser's word on it: tests/e2e/test_pages_hostile_transcripts.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.attacks import ATTACKS, infected, mixed
from tests.support.claude_code import Transcript
from tests.support.rendered import html_of, problems
from tests.support.transcript_gallery import gallery, kind_of, results_of
from transcripts_app.format.kinds import Kind
from transcripts_app.render.text import record_markdown, record_text

RECORDS = gallery().records
ALL = "\n".join(ATTACKS.values())
RESULTS = results_of(RECORDS)


def with_result(record: dict[str, Any]) -> list[dict[str, Any]]:
    content = record["message"]["content"] if isinstance(record.get("message"), dict) else []
    ids = [block.get("id") for block in content if isinstance(block, dict)]
    return [RESULTS[one] for one in ids if one in RESULTS]


def name_of(record: dict[str, Any]) -> str:
    content = record["message"]["content"] if isinstance(record.get("message"), dict) else []
    names = [block["name"] for block in content if isinstance(block, dict) and "name" in block]
    return "-".join([record["type"], kind_of(record).name.lower(), *names])


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
def test_no_attack_in_any_field_becomes_markup(record: dict[str, Any]) -> None:
    kind = kind_of(record)
    results = with_result(record)
    for name, attack in ATTACKS.items():
        html = html_of(infected(record, attack), infected(results, attack), kind=kind)
        assert problems(html) == [], name
        html = html_of(mixed(record, attack), mixed(results, attack), kind=kind)
        assert problems(html) == [], name


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
def test_all_attacks_at_once_in_names_and_keys_too(record: dict[str, Any]) -> None:
    results = with_result(record)
    for attack in (ALL, ALL * 30):
        for kind in (kind_of(record), Kind.UNKNOWN, Kind.TOOL_RESULT):
            for whole in (False, True) if attack is ALL else (False,):
                evil = infected(record, attack, names=True, keys=True)
                html = html_of(evil, infected(results, attack, names=True, keys=True), kind=kind, whole=whole)
                assert problems(html) == []
                assert html.encode()


def test_our_check_sees_what_we_did_not_write() -> None:
    """Each attack, put into a page as it is, is a problem to the check, or no markup at all."""
    seen = {name for name, attack in ATTACKS.items() if problems(f"<div>{attack}</div>")}
    only_text = {name for name in ATTACKS if name.startswith(("markdown", "address", "data", "svg data", "file", "ansi link",
                                                              "bare", "template", "encoded", "long", "attribute"))}  # fmt: skip
    assert seen | only_text >= set(ATTACKS)
    assert len(seen) > 20


@pytest.mark.parametrize("name", ATTACKS)
def test_tool_and_server_names_are_text(name: str) -> None:
    one = Transcript(Path())
    attack = ATTACKS[name]
    for tool in (attack, f"mcp__{attack}__{attack}", f"mcp__a__{attack}"):
        one.call(tool, id="t", **{attack: attack, "b": [attack]})
        assert problems(html_of(one.records[-1])) == []


def test_texts_and_markdown_of_hostile_records_can_be_sent() -> None:
    for record in RECORDS:
        evil = infected(record, ALL, names=True, keys=True)
        assert record_text(evil, kind_of(record)).encode() is not None
        assert record_markdown(evil, kind_of(record)).encode()
