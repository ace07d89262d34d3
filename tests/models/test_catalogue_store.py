"""models.yaml into the database and out again."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command

from models_app import services
from models_app.catalogue import catalogue_parse
from models_app.exceptions import CatalogueInvalid
from models_app.models import ModelDefinition
from sparkweb.accounts.actor import SYSTEM

SHIPPED = Path("models.yaml")
pytestmark = pytest.mark.django_db

FILE = b"""
zebra: kept
schema_version: "1.0"
defaults:
  vllm: {image: "vllm/vllm-openai:v0.11", dtype: auto, max_num_seqs: 8}
models:
  second:
    port: 8101
    model_id: org/b
    engine: vllm
    settings: {max_model_len: 4096, future_flag: [1, {z: 1, a: 2}]}
    odd: {z: 1, a: 2}
  first:
    engine: ollama
    name: First
    port: 8100
    model_id: a:1b
    enabled: false
    estimated_memory_gb: 1.5
"""


def imported(text: bytes) -> services.ImportResult:
    return services.catalogue_import(text=text, filename="models.yaml", actor=SYSTEM)


def test_import_then_export_loses_nothing() -> None:
    imported(FILE)
    before, after = catalogue_parse(FILE, "a"), catalogue_parse(services.catalogue_export(), "b")
    assert after == before


def test_the_shipped_catalogue_goes_round() -> None:
    text = SHIPPED.read_bytes()
    result = imported(text)
    assert len(result.created) >= 8
    assert catalogue_parse(services.catalogue_export(), "b") == catalogue_parse(text, "a")


def test_importing_again_changes_nothing() -> None:
    imported(FILE)
    result = imported(FILE)
    assert (result.created, result.updated, result.unchanged) == ([], [], ["second", "first"])


def test_an_edit_is_an_update_and_others_stay() -> None:
    imported(FILE)
    imported(FILE.replace(b"port: 8101", b"port: 8201"))
    assert ModelDefinition.objects.get(slug="second").port == 8201
    only = b"models: {third: {engine: vllm, port: 1, model_id: x}}"
    imported(only)
    assert ModelDefinition.objects.count() == 3


def test_a_small_file_keeps_the_defaults_and_comes_last() -> None:
    imported(FILE)
    known = b"first: {engine: ollama, port: 8100, model_id: a:1b}"
    imported(b"models: {third: {engine: vllm, port: 1, model_id: x}, " + known + b"}")
    again = catalogue_parse(services.catalogue_export(), "b")
    assert [entry.slug for entry in again.entries] == ["second", "first", "third"]
    assert again.defaults == catalogue_parse(FILE, "a").defaults


def test_one_bad_entry_refuses_the_whole_file_with_its_line() -> None:
    with pytest.raises(CatalogueInvalid) as refusal:
        imported(FILE.replace(b"port: 8100", b"port: 99999"))
    assert not ModelDefinition.objects.exists()
    (problem,) = refusal.value.problems
    assert "line 16" in problem
    assert "port" in problem


def test_preview_says_and_does_nothing() -> None:
    assert services.catalogue_preview(text=FILE, filename="x").created == ["second", "first"]
    assert not ModelDefinition.objects.exists()


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "models.yaml"
    source.write_bytes(FILE)
    call_command("import_models", str(source))
    assert "2 created" in capsys.readouterr().out
    target = tmp_path / "out.yaml"
    call_command("export_models", str(target))
    assert catalogue_parse(target.read_bytes(), "b") == catalogue_parse(FILE, "a")
