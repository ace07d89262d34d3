"""models.yaml in, definitions out, and back again without loss."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from models_app.catalogue import Catalogue, CatalogueEntry, catalogue_dump, catalogue_parse
from sparkweb.yaml_file import yaml_dump, yaml_load

SHIPPED = Path(__file__).resolve().parents[2] / "models.yaml"

ODD = b"""\
x-site: {rack: 4, "on": "yes"}
schema_version: 1.0
models:
  zeta:
    settings: {max_model_len: 8192, zz_future: [1, {b: 2, a: 1}], enforce_eager: yes, dtype: null}
    port: 8200
    publish: lan
    engine: vllm
    model_id: org/zeta
    owner: {team: night shift, since: 2025-11-01}
    image: null
    enabled: no
    priority: -3
    node_count: 2
    pinned: no
    estimated_memory_gb: 12.25
  alpha:
    engine: script
    script_dir: alpha
    priority: 20
    pinned: yes
    idle_minutes: 30
    start_on_boot: yes
    port: 8201
    model_id: org/alpha
defaults:
  vllm: {swap_space: 16, image: "nvcr.io/nvidia/vllm:25.11-py3"}
  some_future_engine: {a: 1}
notes: "kept"
"""


def ordered(value: Any) -> Any:
    """The same data as lists of pairs, so that comparing sees the order of keys."""
    if isinstance(value, dict):
        return [(key, ordered(child)) for key, child in value.items()]
    return [ordered(child) for child in value] if isinstance(value, list) else value


def through_the_database(catalogue: Catalogue) -> Catalogue:
    """What jsonb does to a catalogue: keys come back sorted by length and letter."""

    def jsonb(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: jsonb(value[key]) for key in sorted(value, key=lambda key: (len(key), key))}
        return [jsonb(child) for child in value] if isinstance(value, list) else value

    def stored(value: Any) -> Any:
        return jsonb(json.loads(json.dumps(value)))

    for entry in catalogue.entries:
        entry.settings, entry.extra = stored(entry.settings), stored(entry.extra)
        if entry.estimated_memory_gb is not None:
            entry.estimated_memory_gb = entry.estimated_memory_gb.quantize(Decimal("0.01"))
    catalogue.defaults, catalogue.extra = stored(catalogue.defaults), stored(catalogue.extra)
    return catalogue


@pytest.mark.parametrize("text", [SHIPPED.read_bytes(), ODD], ids=["shipped", "odd"])
def test_round_trip_keeps_data_and_order(text: bytes) -> None:
    written = catalogue_dump(through_the_database(catalogue_parse(text, "models.yaml")))
    assert ordered(yaml_load(written, "out").data) == ordered(yaml_load(text, "in").data)
    assert catalogue_dump(catalogue_parse(written, "out")) == written


def test_an_older_reader_sees_the_same_data() -> None:
    """The owners' earlier tools read YAML 1.1."""
    text = ODD.replace(b"2025-11-01", b'"2025-11-01"')
    written = catalogue_dump(catalogue_parse(text, "models.yaml"))
    assert yaml.safe_load(written) == yaml.safe_load(text)


def test_fields_of_an_entry() -> None:
    zeta, alpha = catalogue_parse(ODD, "models.yaml").entries
    assert (zeta.slug, zeta.name, zeta.port, zeta.position) == ("zeta", "zeta", 8200, 0)
    assert (zeta.enabled, zeta.publish, zeta.image) == (False, "lan", "")
    assert zeta.estimated_memory_gb == Decimal("12.25")
    assert zeta.settings == {
        "max_model_len": 8192,
        "zz_future": [1, {"b": 2, "a": 1}],
        "enforce_eager": True,
        "dtype": None,
    }
    assert zeta.extra == {"owner": {"team": "night shift", "since": "2025-11-01"}, "image": None}
    assert (zeta.node_count, alpha.node_count) == (2, 1)
    assert (alpha.idle_minutes, alpha.start_on_boot, zeta.idle_minutes) == (30, True, None)
    assert (zeta.priority, zeta.pinned, alpha.priority, alpha.pinned) == (-3, False, 20, True)
    assert (alpha.engine, alpha.script_dir, alpha.enabled, alpha.position) == ("script", "alpha", True, 1)


def test_top_level_fields() -> None:
    catalogue = catalogue_parse(ODD, "models.yaml")
    assert catalogue.extra == {"x-site": {"rack": 4, "on": "yes"}, "schema_version": 1.0, "notes": "kept"}
    assert catalogue.defaults["some_future_engine"] == {"a": 1}
    assert catalogue.schema_version == "1.0"


def test_shipped_catalogue_is_the_owners() -> None:
    catalogue = catalogue_parse(SHIPPED.read_bytes(), "models.yaml")
    assert [
        (entry.engine, entry.port, int(entry.estimated_memory_gb or 0)) for entry in catalogue.entries
    ] == [
        ("vllm", 8104, 45),
        ("vllm", 8100, 65),
        ("vllm", 8101, 20),
        ("vllm", 8103, 30),
        ("vllm", 8106, 24),
        ("ollama", 11435, 70),
        ("script", 8235, 116),
        ("script", 8105, 65),
    ]


def test_edited_fields_reach_the_file_and_untouched_ones_stay_out() -> None:
    catalogue = catalogue_parse(ODD, "models.yaml")
    zeta, alpha = catalogue.entries
    zeta.image, alpha.description, alpha.settings = "vllm/vllm-openai:v0.11.0", "first", {"new": 1}
    data = yaml_load(catalogue_dump(catalogue), "out").data["models"]
    assert data["zeta"]["image"] == "vllm/vllm-openai:v0.11.0"
    assert list(data["alpha"]) == [
        "engine", "script_dir", "priority", "pinned", "idle_minutes", "start_on_boot", "port", "model_id",
        "description", "settings"
    ]  # fmt: skip


def test_a_catalogue_made_on_the_page_is_written_in_the_usual_order() -> None:
    entry = CatalogueEntry(slug="new", name="New", engine="vllm", model_id="org/new", port=8300)
    assert catalogue_dump(Catalogue(entries=[entry])) == (
        b"schema_version: '1.0'\nmodels:\n  new:\n    name: New\n    engine: vllm\n"
        b"    port: 8300\n    model_id: org/new\n"
    )


def test_an_empty_catalogue_can_be_read_again() -> None:
    assert catalogue_parse(catalogue_dump(Catalogue()), "out").entries == []


def test_anchors_and_merge_keys_are_written_out() -> None:
    text = b"""
models:
  a: &base {engine: vllm, port: 8001, model_id: org/a, settings: &s {max_num_seqs: 4}}
  b: {<<: *base, port: 8002, settings: {<<: *s, max_model_len: 10}}
"""
    first, second = catalogue_parse(text, "models.yaml").entries
    assert (second.engine, second.port, second.model_id) == ("vllm", 8002, "org/a")
    assert second.settings == {"max_num_seqs": 4, "max_model_len": 10}
    assert first.settings == {"max_num_seqs": 4}


def test_byte_order_mark_is_accepted() -> None:
    assert len(catalogue_parse(b"\xef\xbb\xbf" + SHIPPED.read_bytes(), "models.yaml").entries) == 8


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=12)
    | st.sampled_from(
        [
            "yes",
            "12:30",
            "1e3",
            "0x10",
            "~",
            "- a",
            "#",
            "a: b",
            "2024-01-01",
            "'",
            '"',
            "<<",
            "=",
            "\x85",
            "\u2028a",
            "\ufeff",
        ]
    ),
    lambda child: (
        st.lists(child, max_size=3) | st.dictionaries(st.text("abc/~<", max_size=3), child, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["one", "no", "1", "a/b", "~"]), JSON_VALUES, max_size=4))
def test_any_settings_survive_the_trip(settings: dict[str, Any]) -> None:
    entry = CatalogueEntry("x", "X", "custom", "org/x", 8000, settings=settings, extra={"future": settings})
    read = catalogue_parse(catalogue_dump(Catalogue(entries=[entry])), "out").entries[0]
    assert ordered(read.settings) == ordered(settings)
    assert ordered(read.extra["future"]) == ordered(settings)


@given(JSON_VALUES)
def test_an_older_reader_sees_the_same_values(value: Any) -> None:
    assert yaml.safe_load(yaml_dump({"value": value})) == {"value": value}
