"""What lies on the node is listed truly; deleting goes by a listed key and touches nothing outside."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from models_app.node.storage.budget import Budget
from models_app.node.storage.hf_cache import TRASH, NotDeletable, NotListed, hf_delete, hf_scan
from models_app.node.storage.ollama_store import PARTIAL_KEY, ollama_delete, ollama_scan
from models_app.node.storage.scanner import Area, Found, Scanner, listing_digest
from tests.support.stack import wait_for

ONE, TWO = "1" * 40, "2" * 40


def repo_make(hub: Path, name: str, revisions: dict[str, dict[str, str]], blobs: dict[str, bytes]) -> Path:
    """A repository in the cache: files of each revision by the blob that they link to."""
    folder = hub / name
    (folder / "blobs").mkdir(parents=True)
    for blob, content in blobs.items():
        (folder / "blobs" / blob).write_bytes(content)
    for commit, files in revisions.items():
        for path, blob in files.items():
            place = folder / "snapshots" / commit / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(os.path.relpath(folder / "blobs" / blob, place.parent))
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """Two revisions of a model that share a blob."""
    hub = tmp_path / "hub"
    files = {
        ONE: {"config.json": "aa", "model.safetensors": "bb"},
        TWO: {"config.json": "cc", "model.safetensors": "bb"},
    }
    folder = repo_make(hub, "models--org--model", files, {"aa": b"1", "bb": b"2" * 1000, "cc": b"333"})
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(TWO)
    return hub


def entries(hub: Path) -> dict[str, dict]:  # type: ignore[type-arg]
    return {entry["key"]: entry for entry in hf_scan(hub, Budget()).entries}


# The Hugging Face cache ------------------------------------------------------------


def test_shared_blobs_count_once(hub: Path) -> None:
    scan = hf_scan(hub, Budget())
    (entry,) = scan.entries
    assert (entry["name"], entry["kind"], entry["bytes"], scan.total_bytes) == (
        "org/model",
        "hf_model",
        1004,
        1004,
    )
    assert [(row["commit"], row["refs"], row["bytes"], row["files"]) for row in entry["revisions"]] == [
        (ONE, [], 1001, 2),
        (TWO, ["main"], 1003, 2),
    ]
    assert entry["incomplete"] == ""
    assert entry["used_at"] > 0


def test_an_empty_or_missing_cache_is_empty(tmp_path: Path) -> None:
    assert hf_scan(tmp_path / "nothing", Budget()).entries == []
    assert ollama_scan(tmp_path / "nothing", Budget()).entries == []


def test_a_dataset_is_told_apart(tmp_path: Path) -> None:
    repo_make(tmp_path, "datasets--org--data", {ONE: {"a": "aa"}}, {"aa": b"1"})
    assert entries(tmp_path)["hf:datasets--org--data"]["kind"] == "hf_dataset"


def test_partial_files_are_incomplete(hub: Path) -> None:
    (hub / "models--org--model/blobs/dd.incomplete").write_bytes(b"x" * 50)
    (entry,) = entries(hub).values()
    assert (entry["incomplete"], entry["partial_bytes"], entry["bytes"]) == (
        "1 file is partly here",
        50,
        1054,
    )


def test_a_broken_link_is_a_missing_file(hub: Path) -> None:
    (hub / "models--org--model/blobs/bb").unlink()
    assert entries(hub)["hf:models--org--model"]["incomplete"] == "1 file is missing"


def test_shards_that_the_index_names_are_missed(tmp_path: Path) -> None:
    index = json.dumps(
        {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors"}}
    )
    files = {"model.safetensors.index.json": "ii", "model-1.safetensors": "aa"}
    repo_make(tmp_path, "models--org--big", {ONE: files}, {"ii": index.encode(), "aa": b"1"})
    assert entries(tmp_path)["hf:models--org--big"]["incomplete"] == "1 file is missing"


@pytest.mark.parametrize("text", [b"\xff\xfe", b"[]", b'{"weight_map": 3}', b'{"weight_map": []}'])
def test_an_index_that_is_none_misses_nothing(tmp_path: Path, text: bytes) -> None:
    repo_make(tmp_path, "models--org--odd", {ONE: {"x.safetensors.index.json": "ii"}}, {"ii": text})
    assert entries(tmp_path)["hf:models--org--odd"]["incomplete"] == ""


def test_a_scan_stops_after_its_entries_and_says_so(hub: Path) -> None:
    repo_make(hub, "models--org--other", {ONE: {"a": "aa"}}, {"aa": b"1"})
    scan = hf_scan(hub, Budget(entries=8))
    assert [entry["name"] for entry in scan.entries] == ["org/model"]
    assert "Stopped after 8 files" in scan.stopped


def test_a_scan_stops_after_its_time_and_says_so(hub: Path) -> None:
    ticks = iter(range(1000))
    assert "the disk is slow" in hf_scan(hub, Budget(seconds=3, clock=lambda: next(ticks))).stopped


def test_a_repository_is_deleted_whole(hub: Path) -> None:
    (hub / ".locks" / "models--org--model").mkdir(parents=True)
    assert hf_delete(hub, "hf:models--org--model") == 1004
    assert entries(hub) == {}
    assert not (hub / ".locks/models--org--model").exists()


def test_a_revision_goes_without_what_others_need(hub: Path) -> None:
    assert hf_delete(hub, f"hf:models--org--model@{TWO}") == 3
    (entry,) = entries(hub).values()
    assert ([row["commit"] for row in entry["revisions"]], entry["bytes"]) == ([ONE], 1001)
    assert not (hub / "models--org--model/refs/main").exists()
    assert hf_delete(hub, f"hf:models--org--model@{ONE}") == 1001
    assert entries(hub) == {}


def test_partial_files_alone_are_deleted(hub: Path) -> None:
    (hub / "models--org--model/blobs/dd.incomplete").write_bytes(b"x" * 50)
    assert hf_delete(hub, "hf:models--org--model@partial") == 50
    assert entries(hub)["hf:models--org--model"]["bytes"] == 1004


@pytest.mark.parametrize(
    "key",
    [
        "hf:",
        "hf:..",
        "hf:../outside",
        "hf:models--org--model/../../outside",
        "hf:models--org--model/blobs",
        "hf:/etc",
        "hf:models--..--x",
        "hf:.locks",
        f"hf:models--org--model@../../{ONE}",
        "hf:models--org--model@..",
        "hf:models--org--model@.",
        "hf:models--org--model@" + "9" * 40,
    ],
)
def test_what_is_not_listed_is_not_deleted(hub: Path, key: str) -> None:
    outside = hub.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (hub / ".locks").mkdir()
    with pytest.raises(NotListed):
        hf_delete(hub, key)
    assert (outside / "kept").exists()
    assert entries(hub)["hf:models--org--model"]["bytes"] == 1004


def test_links_are_never_followed_out(hub: Path) -> None:
    outside = hub.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    folder = hub / "models--org--model"
    (folder / "snapshots" / ONE / "out").symlink_to(outside)
    (folder / "blobs" / "out").symlink_to(outside / "kept")
    hf_delete(hub, "hf:models--org--model")
    assert (outside / "kept").read_text() == "x"


@pytest.mark.parametrize("part", ["", "/blobs", "/snapshots"])
def test_a_folder_that_is_a_link_is_left_to_its_owner(hub: Path, part: str) -> None:
    folder, outside = hub / f"models--org--model{part}", hub.parent / "elsewhere"
    folder.rename(outside)
    folder.symlink_to(outside)
    key = "hf:models--org--model" + {"": "", "/blobs": "@partial", "/snapshots": f"@{ONE}"}[part]
    with pytest.raises(NotDeletable, match="is a link to"):
        hf_delete(hub, key)
    assert any(outside.iterdir())


def test_a_deletion_that_was_cut_is_finished_by_the_next(hub: Path) -> None:
    (hub / "models--org--model").rename(hub / f"{TRASH}models--org--model")
    with pytest.raises(NotListed):
        hf_delete(hub, "hf:models--org--model")
    assert list(hub.iterdir()) == []


# Ollama's folder -------------------------------------------------------------------

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def manifest_make(folder: Path, place: str, digests: list[str]) -> None:
    path = folder / "models" / "manifests" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = [{"digest": f"sha256:{digest}", "size": 10} for digest in digests]
    path.write_text(json.dumps({"config": layers[0], "layers": layers[1:]}))


@pytest.fixture
def ollama(tmp_path: Path) -> Path:
    (tmp_path / "models" / "blobs").mkdir(parents=True)
    for digest in (A, B, C):
        (tmp_path / "models" / "blobs" / f"sha256-{digest}").write_bytes(b"x" * 10)
    manifest_make(tmp_path, "registry.ollama.ai/library/llama/8b", [A, B])
    manifest_make(tmp_path, "registry.ollama.ai/someone/own/latest", [A, C])
    manifest_make(tmp_path, "hf.co/org/repo/Q4", [C])
    return tmp_path


def test_ollama_models_are_listed_with_shared_layers_once(ollama: Path) -> None:
    scan = ollama_scan(ollama, Budget())
    assert {entry["name"]: entry["bytes"] for entry in scan.entries} == {
        "hf.co/org/repo:Q4": 10,
        "llama:8b": 20,
        "someone/own:latest": 20,
    }
    assert scan.total_bytes == 30


def test_an_ollama_model_goes_with_its_own_layers(ollama: Path) -> None:
    assert ollama_delete(ollama, "ollama:llama:8b") == 10
    assert {path.name[7] for path in (ollama / "models/blobs").iterdir()} == {"a", "c"}
    with pytest.raises(NotListed):
        ollama_delete(ollama, "ollama:llama:8b")


def test_ollama_layers_that_are_missing_or_partial_are_told(ollama: Path) -> None:
    (ollama / "models/blobs" / f"sha256-{B}").rename(ollama / "models/blobs" / f"sha256-{B}-partial-0")
    by_key = {entry["key"]: entry for entry in ollama_scan(ollama, Budget()).entries}
    assert by_key["ollama:llama:8b"]["incomplete"] == "1 of its layers are missing"
    assert by_key[PARTIAL_KEY]["bytes"] == 10
    assert ollama_delete(ollama, PARTIAL_KEY) == 10


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"config": {"digest": "sha256:../x", "size": 1}, "layers": []}']
)
def test_a_broken_manifest_is_listed_and_can_go(ollama: Path, text: str) -> None:
    (ollama / "models/manifests/hf.co/org/repo/Q4").write_text(text)
    by_key = {entry["key"]: entry for entry in ollama_scan(ollama, Budget()).entries}
    assert by_key["ollama:hf.co/org/repo:Q4"]["incomplete"]
    assert ollama_delete(ollama, "ollama:hf.co/org/repo:Q4") == 0


def test_ollama_folders_that_are_links_are_left(ollama: Path) -> None:
    (ollama / "models/blobs").rename(ollama / "elsewhere")
    (ollama / "models/blobs").symlink_to(ollama / "elsewhere")
    with pytest.raises(NotDeletable):
        ollama_delete(ollama, "ollama:llama:8b")


# The slow lane ---------------------------------------------------------------------


def entry(key: str, size: int) -> dict:  # type: ignore[type-arg]
    return {"key": key, "kind": "hf_model", "name": key, "bytes": size, "used_at": 5.0, "revisions": []}


def scanner(*areas: Area, **options: object) -> Scanner:
    one = Scanner(list(areas), lambda: None, **options)  # type: ignore[arg-type]
    one.scan_now()
    return one


def ended(one: Scanner) -> bool:
    return not one.section()["scanning"]


def test_only_the_largest_are_told_and_the_rest_is_counted(tmp_path: Path) -> None:
    found = Found([entry(f"m{number}", number) for number in range(1000)], 5)
    one = scanner(Area("hf", lambda: found, lambda: tmp_path))
    wait_for(lambda: ended(one), "the scan ended", 60)
    listing = one.listing()
    assert listing["entries"][0]["key"] == "m999"
    assert len(listing["entries"]) + listing["left_out"]["count"] == 1000
    assert len(json.dumps(listing)) < 200_000
    assert listing["left_out"]["bytes"] == sum(range(1000 - len(listing["entries"])))


def test_an_area_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    import threading

    hangs, now = threading.Event(), [0.0]
    stuck = Area("hf", lambda: (hangs.wait(60), Found([], 0))[1], lambda: None)
    fine = Area("images", lambda: Found([entry("i", 3)], 3), lambda: None)
    one = scanner(stuck, fine, clock=lambda: now[0])
    wait_for(lambda: one.section()["areas"]["images"]["status"] == "ok", "the other area is told", 60)
    now[0] = 500.0
    assert one.section()["areas"]["hf"]["status"] == one.listing()["areas"]["hf"]["status"] == "slow"
    assert ended(one)  # nobody waits for it
    one.tick()  # no second thread is started for it
    assert sum(thread.name == "scan-hf" for thread in threading.enumerate()) == 1
    hangs.set()
    wait_for(lambda: one.section()["areas"]["hf"]["status"] == "ok", "it came back", 60)


def test_trouble_is_told_in_words_and_odd_names_are_text(tmp_path: Path) -> None:
    def denied() -> Found:
        raise PermissionError(13, "Permission denied", "/cache")

    odd = Found([entry("\udcff\x01", 1)], 1)
    one = scanner(Area("hf", denied, lambda: None), Area("ollama", lambda: odd, lambda: None))
    wait_for(lambda: ended(one), "the scan ended", 60)
    assert one.section()["areas"]["hf"]["status"] == "denied"
    assert "/cache" in one.section()["areas"]["hf"]["message"]
    json.dumps(one.listing(), ensure_ascii=False).encode()


def test_the_digest_forgives_minutes_and_free_space(tmp_path: Path) -> None:
    def listing(size: int, used: float, free: int) -> dict:  # type: ignore[type-arg]
        areas = {"hf": {"free_bytes": free, "bytes": size}}
        return {"entries": [entry("m", size) | {"used_at": used}], "areas": areas, "left_out": {}}

    assert listing_digest(listing(1, 10.0, 5)) == listing_digest(listing(1, 20.0, 6))
    assert listing_digest(listing(1, 10.0, 5)) != listing_digest(listing(2, 10.0, 5))
