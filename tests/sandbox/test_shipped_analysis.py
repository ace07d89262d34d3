"""file_analysis as a program: five operations on five formats, and what is thrown at them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.sandbox.shipped import Came, run

SAMPLES = {
    "json": '{"store": {"book": [{"title": "A", "price": 8}, {"title": "B", "price": 12.5}]}}',
    "yaml": "store:\n  book:\n    - {title: A, price: 8}\n    - {title: B, price: 12.5}\n",
    "csv": "title,price\nA,8\nB,12.5\n",
    "xml": "<store><book price='8'><title>A</title></book><book price='12.5'><title>B</title></book></store>",
    "text": "title A\nprice 8\ntitle B\n",
}
BOOKS = [{"title": "A", "price": 8}, {"title": "B", "price": 12.5}]
PARSED: dict[str, Any] = {
    "json": {"store": {"book": BOOKS}},
    "yaml": {"store": {"book": BOOKS}},
    "csv": [{"title": "A", "price": "8"}, {"title": "B", "price": "12.5"}],
    "xml": {"store": {"book": [{"@price": "8", "title": "A"}, {"@price": "12.5", "title": "B"}]}},
    "text": ["title A", "price 8", "title B"],
}


def analyse(operation: str, content: str, **arguments: Any) -> Came:
    return run("file_analysis", operation=operation, content=content, **arguments)


@pytest.mark.parametrize("kind", SAMPLES)
def test_parse(kind: str) -> None:
    assert analyse("parse", SAMPLES[kind], format=kind).data == PARSED[kind]
    assert analyse("parse", SAMPLES[kind]).told["result"] == PARSED[kind]  # found out by itself


@pytest.mark.parametrize("kind", SAMPLES)
def test_validate(kind: str) -> None:
    assert analyse("validate", SAMPLES[kind], format=kind).data == {
        "format": kind, "valid": True, "problems": []
    }  # fmt: skip


WRONG = {
    "json": ('{"a": 1,}', "line 1, column"),
    "json not a number": ('{"a": NaN}', "NaN is no value of JSON"),
    "yaml": ("a: [1\nb: 2", "line 2"),
    "csv": ("a,b\n1,2,3\n4\n", "Row 2 has 3 cells"),
    "csv twice": ("a,a\n1,2\n", "'a' stands there twice"),
    "xml": ("<a><b></a>", "mismatched tag"),
    "text": ("fine\n\x01\n", "Line 2 contains the character U+0001"),
}


@pytest.mark.parametrize("name", WRONG)
def test_validate_says_where(name: str) -> None:
    content, words = WRONG[name]
    said = analyse("validate", content, format=name.split()[0]).data
    assert said["valid"] is False
    assert words in said["problems"][0]


def test_validate_holds_against_a_schema() -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    said = analyse("validate", "a: x", format="yaml", schema=schema).data
    assert said["problems"] == ["$.a: 'x' is not of type 'integer'"]
    assert "no JSON Schema" in analyse("validate", "{}", format="json", schema={"type": 3}).told["error"]


EXTRACTED: list[tuple[str, str, list[Any]]] = [
    ("json", "$.store.book[*].title", ["A", "B"]),
    ("json", "store.book[-1].price", [12.5]),
    ("json", "$..price", [8, 12.5]),
    ("json", "$.store.book[?(@.price < 10)].title", ["A"]),
    ("json", "$.store.book[?@.title == 'B' || !(@.price)].price", [12.5]),
    ("json", "$['store']['book'][0:1]['title','price']", ["A", 8]),
    ("json", "$.store.book[?(@.title == \"it's\")]", []),
    ("yaml", "$..book[1]", [BOOKS[1]]),
    ("csv", "price", ["8", "12.5"]),
    ("csv", "2", ["8", "12.5"]),
    ("csv", "title, price", PARSED["csv"]),
    ("xml", "/store/book/title", [{"title": "A"}, {"title": "B"}]),
    ("xml", "//title/text()", ["A", "B"]),
    ("xml", "//book/@price", ["8", "12.5"]),
    ("text", "title (?P<name>\\w)", [{"line": 1, "match": "title A", "groups": {"name": "A"}},
                                     {"line": 3, "match": "title B", "groups": {"name": "B"}}]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "query", "matches"), EXTRACTED)
def test_extract(kind: str, query: str, matches: list[Any]) -> None:
    said = analyse("extract", SAMPLES[kind], format=kind, query=query)
    assert said.data["matches"] == matches, said.stderr


BAD_QUERIES = {
    "json": [
        "$[",
        "$.a[?(",
        "$..",
        "$[?(__import__('os'))]",
        "$[::0]",
        "$.a b",
        "$['a",
        "(" * 100,
        "$[?" + "(" * 90,
    ],
    "csv": ["none", "0", "9", "a,,b"],
    "xml": ["///", "//a[", "//a[@b='", "$x"],
    "text": ["(", "a{99999999999}", "(?P<a>"],
}


@pytest.mark.parametrize(("kind", "query"), [(k, q) for k, queries in BAD_QUERIES.items() for q in queries])
def test_a_query_that_is_none_is_a_sentence(kind: str, query: str) -> None:
    came = analyse("extract", SAMPLES[kind], format=kind, query=query)
    assert came.code == 1, came.stdout
    assert "Traceback" not in came.stderr
    assert came.told["error"].endswith(".")


def test_without_lxml_the_usual_xpaths_work(tmp_path: Path) -> None:
    """An image without lxml knows what the standard library knows."""
    import sys

    sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "file_analysis"))
    try:
        import file_analysis_formats as formats  # type: ignore[import-not-found]
        import file_analysis_queries as queries  # type: ignore[import-not-found]

        root = formats.root_of(SAMPLES["xml"])
        for path, found in [(query, matches) for kind, query, matches in EXTRACTED if kind == "xml"]:
            assert queries._xpath_small(root, path) == found
        assert queries._xpath_small(root, "/store/book[@price='8']/title/text()") == ["A"]
    finally:
        sys.path.pop(0)


@pytest.mark.parametrize("to", SAMPLES)
@pytest.mark.parametrize("kind", SAMPLES)
def test_transform_writes_what_can_be_read_again(kind: str, to: str) -> None:
    written = analyse("transform", SAMPLES[kind], format=kind, to=to)
    assert written.code == 0, written.stderr
    if to == "json":
        assert json.loads(written.stdout) == PARSED[kind]
    elif to == "yaml":
        assert yaml.safe_load(written.stdout) == PARSED[kind]
    elif to == "csv":
        rows = list(csv.DictReader(io.StringIO(written.stdout)))
        assert rows
        if kind in ("csv", "xml"):
            assert rows[1][{"csv": "price", "xml": "@price"}[kind]] == "12.5"
    elif to == "xml":
        again = analyse("parse", written.stdout, format="xml").data
        assert "12.5" in json.dumps(again) or kind == "text"
        if kind == "xml":
            assert again == PARSED["xml"]
    else:
        assert "B" in written.stdout


def test_transform_makes_xml_of_any_names_and_characters() -> None:
    content = json.dumps({"a b": "\x01<&>", "9": [None, True], "#text": "t", "@id": 3})
    written = analyse("transform", content, format="json", to="xml")
    assert analyse("validate", written.stdout, format="xml").data["valid"], written.stdout


def test_summarize() -> None:
    table = analyse("summarize", SAMPLES["csv"], format="csv").data
    assert table["rows"] == 2
    assert table["columns"]["price"] == {
        "type": "number", "filled": 2, "empty": 0, "distinct": 2, "min": 8, "max": 12.5, "mean": 10.25,
        "median": 10.25,
    }  # fmt: skip
    assert analyse("summarize", SAMPLES["json"], format="json").data["depth"] == 5
    assert analyse("summarize", SAMPLES["yaml"], format="yaml").data["keys"] == {"store": "object"}
    assert analyse("summarize", SAMPLES["xml"], format="xml").data["elements"]["book"] == 2
    assert analyse("summarize", SAMPLES["text"], format="text").data["words"] == 6


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("operation", ["parse", "validate", "transform", "summarize"])
def test_nothing_is_no_crash(operation: str, kind: str) -> None:
    came = analyse(operation, "", format=kind)
    assert "Traceback" not in came.stderr
    assert came.code in (0, 1)


def laughs() -> str:
    lines = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    return "l0: &l0 [lol, lol]\n" + "\n".join(lines)


HOSTILE = {
    "billion laughs": (
        "xml",
        '<!DOCTYPE a [<!ENTITY b "lol"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>',
        "entities of a document's own are refused",
    ),
    "external entity": (
        "xml",
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "entities of a document's own are refused",
    ),
    "parameter entity": (
        "xml",
        '<!DOCTYPE a [<!ENTITY % b SYSTEM "http://127.0.0.1/x"> %b;]><a/>',
        "entities of a document's own are refused",
    ),
    "external dtd": ("xml", '<!DOCTYPE a SYSTEM "http://127.0.0.1/x"><a>&b;</a>', "is not known here"),
    "deep xml": ("xml", "<a>" * 100_000, "levels deep"),
    "yaml aliases": ("yaml", laughs(), "grow to more than"),
    "yaml cycle": ("yaml", "a: &a [*a]", "contains itself"),
    "yaml python": (
        "yaml",
        "!!python/object/apply:os.system ['touch /tmp/sparkweb-yaml']",
        "could not determine",
    ),
    "deep yaml": ("yaml", "[" * 3000, ""),
    "deep json": ("json", "[" * 100_000, "nested too deeply"),
    "long number": ("json", "9" * 10_000, "Not valid JSON"),
}


@pytest.mark.parametrize(("kind", "content", "words"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_documents_are_refused(kind: str, content: str, words: str) -> None:
    came = analyse("parse", content, format=kind)
    assert came.code == 1, came.stdout[:200]
    assert words in came.told["error"], came.told
    assert "Traceback" not in came.stderr
    assert not Path("/tmp/sparkweb-yaml").exists()


def test_a_long_answer_is_cut_and_says_so() -> None:
    came = analyse("parse", json.dumps(["x" * 1000] * 1000), format="json")
    assert len(came.stdout) < 210_000
    assert came.stdout.rstrip().endswith("characters")


def test_a_file_of_the_workspace_is_read_and_none_outside(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    workspace.mkdir()
    (workspace / "a.csv").write_bytes(b"\xef\xbb\xbfa;b\n1;2\n")
    (tmp_path / "secret.json").write_text("{}")
    (workspace / "link.json").symlink_to(tmp_path / "secret.json")
    (workspace / "latin.txt").write_bytes(b"caf\xe9")
    assert run("file_analysis", workspace, operation="parse", path="a.csv").data == [{"a": "1", "b": "2"}]
    for path in ("../secret.json", "link.json", "/etc/passwd", "nowhere"):
        came = run("file_analysis", workspace, operation="parse", path=path)
        assert came.code == 1
        assert "outside the workspace" in came.told["error"] or "no such file" in came.told["error"]
    assert "not UTF-8" in run("file_analysis", workspace, operation="parse", path="latin.txt").told["error"]
    assert "either content or path" in run("file_analysis", operation="parse").told["error"]
