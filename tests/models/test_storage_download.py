"""A repository is fetched into the cache: resumed, checked, refused in words."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models_app.node.storage.hub_child import download
from models_app.node.storage.hub_download import Download, Progress, Wish
from models_app.node.storage.space import Room
from sparkweb.adapters.hub import Hub as HubClient
from sparkweb.adapters.hub import HubTrouble
from tests.support.hub import TOKEN, Hub, etag_of

WEIGHTS = os.urandom(300_000)
FILES = {"config.json": b'{"a": 1}', "model.safetensors": WEIGHTS, "onnx/model.onnx": os.urandom(5_000)}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as one:
        yield one


def order(hub: Hub, cache: Path, **changes: Any) -> dict[str, Any]:
    wish = {"repo_type": "model", "repo": "org/model", "revision": "main", "patterns": []}
    node = {"endpoint": hub.endpoint, "cache": str(cache), "token_file": None, "reserve_bytes": 0}
    return {**wish, **node, **changes}


def fetched(order: dict[str, Any]) -> dict[str, Any]:
    return download(order, Progress())


def downloader(hub: Hub, cache: Path, progress: Progress | None = None, **options: Any) -> Download:
    wish = Wish("model", "org/model", "main", options.pop("patterns", []))
    client = lambda: HubClient(hub.endpoint, None)  # noqa: E731
    return Download(cache / "hub", wish, client, progress or Progress(), pause=lambda _: None, **options)


def snapshot(cache: Path, commit: str) -> dict[str, bytes]:
    folder = cache / "hub" / "models--org--model" / "snapshots" / commit
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_repository_lies_in_the_cache_as_the_library_lays_it(hub: Hub, tmp_path: Path) -> None:
    commit = hub.add("org/model", FILES)
    outcome = fetched(order(hub, tmp_path))
    size = sum(map(len, FILES.values()))
    assert outcome == {"outcome": "done", "commit": commit, "done_bytes": size, "total_bytes": size}
    assert snapshot(tmp_path, commit) == FILES
    folder = tmp_path / "hub" / "models--org--model"
    assert (folder / "refs" / "main").read_text() == commit
    assert {path.name for path in (folder / "blobs").iterdir()} == {etag_of(one) for one in FILES.values()}
    link = folder / "snapshots" / commit / "onnx" / "model.onnx"
    assert link.readlink() == Path("../../../blobs") / etag_of(FILES["onnx/model.onnx"])


def test_a_second_time_fetches_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/model", FILES)
    fetched(order(hub, tmp_path))
    hub.requests.clear()
    assert fetched(order(hub, tmp_path))["outcome"] == "done"
    assert hub.file_requests() == []


def test_a_new_commit_fetches_only_what_changed(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/model", FILES)
    fetched(order(hub, tmp_path))
    hub.requests.clear()
    commit = hub.add("org/model", {**FILES, "config.json": b'{"a": 2}'})
    fetched(order(hub, tmp_path))
    assert [path.rpartition("/")[2] for path, _ in hub.file_requests()] == ["config.json"]
    assert snapshot(tmp_path, commit)["model.safetensors"] == WEIGHTS


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["*.safetensors"], {"model.safetensors"}),
        (["onnx/"], {"onnx/model.onnx"}),
        (["*.json", "onnx/*"], {"config.json", "onnx/model.onnx"}),
    ],
)
def test_patterns_choose_files(hub: Hub, tmp_path: Path, patterns: list[str], names: set[str]) -> None:
    commit = hub.add("org/model", FILES)
    downloader(hub, tmp_path, patterns=patterns).run()
    assert set(snapshot(tmp_path, commit)) == names


def test_a_cut_connection_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/model", FILES)
    hub.cut_at, hub.cuts = 100_000, 2
    progress = Progress()
    downloader(hub, tmp_path, progress, patterns=["*.safetensors"]).run()
    assert [given for _, given in hub.file_requests()] == [None, "bytes=100000-", "bytes=200000-"]
    assert progress.done_bytes == progress.total_bytes == len(WEIGHTS)


def test_what_a_killed_download_left_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    commit = hub.add("org/model", FILES)
    blobs = tmp_path / "hub" / "models--org--model" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{etag_of(WEIGHTS)}.incomplete").write_bytes(WEIGHTS[:120_000])
    progress = Progress()
    downloader(hub, tmp_path, progress).run()
    assert "bytes=120000-" in [given for _, given in hub.file_requests()]
    assert snapshot(tmp_path, commit) == FILES
    assert progress.done_bytes == progress.total_bytes


def test_a_server_without_ranges_begins_again(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/model", FILES)
    hub.cut_at, hub.cuts, hub.ranges = 100_000, 1, False
    progress = Progress()
    commit = downloader(hub, tmp_path, progress).run()
    assert snapshot(tmp_path, commit) == FILES
    assert progress.done_bytes == progress.total_bytes


@pytest.mark.parametrize("left", [b"x" * 120_000, b"x" * 400_000, WEIGHTS[:-1] + b"x"])
def test_a_wrong_partial_file_never_becomes_a_blob(hub: Hub, tmp_path: Path, left: bytes) -> None:
    commit = hub.add("org/model", {"model.safetensors": WEIGHTS})
    partial = tmp_path / "hub/models--org--model/blobs" / f"{etag_of(WEIGHTS)}.incomplete"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(left)
    first = fetched(order(hub, tmp_path))
    if first["outcome"] == "failed":
        assert first["code"] == "hash_mismatch"
        assert fetched(order(hub, tmp_path))["outcome"] == "done"
    assert snapshot(tmp_path, commit) == {"model.safetensors": WEIGHTS}


def test_two_at_once_fetch_each_file_once(hub: Hub, tmp_path: Path) -> None:
    import threading

    commit = hub.add("org/model", {"model.safetensors": WEIGHTS})
    hub.stall.set()
    runs = [threading.Thread(target=downloader(hub, tmp_path).run) for _ in range(2)]
    for run in runs:
        run.start()
    assert hub.reached_half.wait(60)
    hub.stall.clear()
    for run in runs:
        run.join(60)
    assert len(hub.file_requests()) == 1
    assert snapshot(tmp_path, commit) == {"model.safetensors": WEIGHTS}


# Refusals ------------------------------------------------------------------------


def test_gated_without_a_token_says_what_to_do(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/model", FILES)
    hub.gated.add("models/org/model")
    outcome = fetched(order(hub, tmp_path))
    assert outcome["code"] == "token_missing"
    assert "as the file hf_token" in outcome["reason"]


def test_gated_with_a_token_that_is_not_let_in(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/model", FILES)
    hub.gated.add("models/org/model")
    (tmp_path / "hf_token").write_text("hf_other\n")
    outcome = fetched(order(hub, tmp_path, token_file=str(tmp_path / "hf_token")))
    assert outcome["code"] == "gated"
    assert "hf_other" not in str(outcome)


def test_the_token_of_the_secret_file_opens_a_gated_one(hub: Hub, tmp_path: Path) -> None:
    hub.add("org/model", FILES)
    hub.gated.add("models/org/model")
    (tmp_path / "hf_token").write_text(f"{TOKEN}\n")
    assert fetched(order(hub, tmp_path, token_file=str(tmp_path / "hf_token")))["outcome"] == "done"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"repo": "org/nothing"}, "not_found", "There is no org/nothing"),
        ({"revision": "v9"}, "revision_not_found", "org/model has no revision v9"),
        ({"patterns": ["*.gguf"]}, "nothing_matches", "No file of org/model matches"),
        ({"reserve_bytes": 10**18}, "disk_short", "Delete something first"),
    ],
)
def test_it_fails_in_words(hub: Hub, tmp_path: Path, changes: dict[str, Any], code: str, words: str) -> None:
    hub.add("org/model", FILES)
    outcome = fetched(order(hub, tmp_path, **changes))
    assert (outcome["outcome"], outcome["code"]) == ("failed", code)
    assert words in outcome["reason"]


def test_a_hub_that_is_busy_is_asked_again(hub: Hub, tmp_path: Path) -> None:
    commit = hub.add("org/model", FILES)
    hub.away = 2
    assert downloader(hub, tmp_path).run() == commit


def test_a_hub_that_stays_away_is_given_up(tmp_path: Path) -> None:
    with Hub() as gone:
        pass
    with pytest.raises(HubTrouble) as trouble:
        downloader(gone, tmp_path).run()
    assert trouble.value.code == "hub_unreachable"


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a//b", "a\\b", "./x"])
def test_file_names_that_lead_out_are_refused(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.add("org/model", {name: b"x"})
    with pytest.raises(HubTrouble, match="does not answer as a Hugging Face hub"):
        downloader(hub, tmp_path).run()
    assert not list(tmp_path.rglob("*evil*"))


class FullDisk(io.BytesIO):
    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_and_what_came_stays(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/model", {"model.safetensors": WEIGHTS})
    partial = tmp_path / "hub/models--org--model/blobs" / f"{etag_of(WEIGHTS)}.incomplete"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(WEIGHTS[:1000])
    with pytest.raises(OSError, match="No space left") as full:
        downloader(hub, tmp_path, opened=lambda path: FullDisk(WEIGHTS[:1000])).run()
    from models_app.node.storage.hub_child import os_words

    code, reason = os_words(full.value, tmp_path)
    assert code == "disk_full"
    assert "goes on when there is room" in reason
    assert partial.read_bytes() == WEIGHTS[:1000]


def test_only_what_is_missing_must_fit(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/model", {"model.safetensors": WEIGHTS})
    partial = tmp_path / "hub/models--org--model/blobs" / f"{etag_of(WEIGHTS)}.incomplete"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(WEIGHTS[:250_000])
    monkeypatch.setattr("models_app.node.storage.space.room_of", lambda folder: Room(10**9, 60_000))
    assert fetched(order(hub, tmp_path))["outcome"] == "done"
