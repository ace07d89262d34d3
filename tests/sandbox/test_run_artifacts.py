"""Files of runs: pieces checked and resumed, limits held, nothing served but to be saved."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import struct
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from metrics_app.models import Node
from sandbox_app import artifact_store
from sandbox_app.artifact_store import (
    FILES_MOST,
    PieceElsewhere,
    PieceRefused,
    artifact_path,
    artifacts_fit,
    folders_tidy,
    name_clean,
    piece_store,
)
from sandbox_app.artifacts import output_page
from sandbox_app.models import Artifact, ArtifactKind, ToolRun
from sandbox_app.rasters import raster_type
from sandbox_app.tasks import runs_prune
from sparkweb.accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(node: Node, operator: User, settings: Any, tmp_path: Path) -> ToolRun:
    settings.DATA_DIR = tmp_path
    return ToolRun.objects.create(
        tool_name="code", node=node, node_name=node.name, user=operator, user_label="operator"
    )


def piece(of: ToolRun, data: bytes, whole: bytes | None = None, **changes: Any) -> bytes:
    whole = data if whole is None else whole
    header = {
        "run": of.uid,
        "kind": "file",
        "name": "a.txt",
        "media_type": "text/plain",
        "size_bytes": len(whole),
        "sha256": hashlib.sha256(whole).hexdigest(),
        "offset": 0,
        "last": True,
        **changes,
    }
    return json.dumps(header).encode() + b"\n" + data


def png(width: int = 1, height: int = 1) -> bytes:
    """A PNG as far as its header."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


# Storing ---------------------------------------------------------------------------------


def test_pieces_make_a_file_and_twice_is_once(run: ToolRun) -> None:
    whole = b"abcdef" * 1000
    assert piece_store("spark-1", piece(run, whole[:4000], whole, last=False)) is None
    artifact = piece_store("spark-1", piece(run, whole[4000:], whole, offset=4000))
    assert artifact is not None
    assert artifact_path(artifact).read_bytes() == whole
    again = piece_store("spark-1", piece(run, whole[4000:], whole, offset=4000))
    assert (again, Artifact.objects.count()) == (artifact, 1)


def test_another_piece_is_asked_for_and_a_beginning_begins_anew(run: ToolRun) -> None:
    whole = b"x" * 100
    with pytest.raises(PieceElsewhere) as elsewhere:
        piece_store("spark-1", piece(run, whole[50:], whole, offset=50))
    assert elsewhere.value.offset == 0
    piece_store("spark-1", piece(run, whole[:60], whole, last=False))
    with pytest.raises(PieceElsewhere) as elsewhere:
        piece_store("spark-1", piece(run, whole[50:], whole, offset=50))
    assert elsewhere.value.offset == 60
    piece_store("spark-1", piece(run, whole[:10], whole, last=False))
    assert piece_store("spark-1", piece(run, whole[10:], whole, offset=10)) is not None


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"sha256": "0" * 64}, 400),
        ({"sha256": "x"}, 400),
        ({"size_bytes": 1}, 400),
        ({"size_bytes": 99}, 400),
        ({"size_bytes": -1}, 400),
        ({"size_bytes": "5"}, 400),
        ({"offset": True}, 400),
        ({"kind": "folder"}, 400),
        ({"name": ""}, 400),
        ({"name": "../.."}, 400),
        ({"name": "\u202e\x00"}, 400),
        ({"run": "0" * 16}, 404),
        ({"run": "../../etc"}, 404),
        ({"run": "\0"}, 404),
        ({"size_bytes": 10**12}, 413),
    ],
)
def test_what_cannot_be_true_is_refused_and_leaves_nothing(run: ToolRun, changes: Any, status: int) -> None:
    with pytest.raises(PieceRefused) as refused:
        piece_store("spark-1", piece(run, b"hello", **changes))
    assert refused.value.status == status
    assert not Artifact.objects.exists()
    assert not [path for path in artifact_store.artifacts_root().rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "body", [b"", b"no line", b"[]\nx", b"{}\nx", b"[" * 5000 + b"\nx", b"\xff\n", b"x" * 5000 + b"\n"]
)
def test_what_is_no_piece(run: ToolRun, body: bytes) -> None:
    with pytest.raises(PieceRefused) as refused:
        piece_store("spark-1", body)
    assert refused.value.status == 400


def test_runs_of_other_nodes_and_runs_long_over_take_no_files(run: ToolRun) -> None:
    with pytest.raises(PieceRefused):
        piece_store("spark-2", piece(run, b"x"))
    run.live, run.ended_at = False, timezone.now()
    run.save()
    assert piece_store("spark-1", piece(run, b"x")) is not None
    run.ended_at -= timedelta(hours=2)
    run.save()
    with pytest.raises(PieceRefused):
        piece_store("spark-1", piece(run, b"y", name="b"))


def test_a_name_has_one_file(run: ToolRun) -> None:
    piece_store("spark-1", piece(run, b"x"))
    with pytest.raises(PieceRefused) as refused:
        piece_store("spark-1", piece(run, b"y"))
    assert refused.value.status == 409


def test_limits_of_a_run_and_of_all(run: ToolRun, settings: Any) -> None:
    settings.ARTIFACT_RUN_MB = 1
    piece_store("spark-1", piece(run, b"x" * 700_000))
    with pytest.raises(PieceRefused) as refused:
        piece_store("spark-1", piece(run, b"x" * 700_000, name="b"))
    assert refused.value.status == 413
    settings.ARTIFACT_RUN_MB, settings.ARTIFACTS_MB = 100, 1
    newest = piece_store("spark-1", piece(run, b"y" * 700_000, name="c"))
    assert list(Artifact.objects.all()) == [newest]
    assert artifacts_fit() == 0


def test_not_more_than_so_many_files(run: ToolRun) -> None:
    rows = [
        Artifact(run=run, kind="file", name=str(n), size_bytes=0, sha256="0" * 64) for n in range(FILES_MOST)
    ]
    Artifact.objects.bulk_create(rows)
    with pytest.raises(PieceRefused, match="may leave"):
        piece_store("spark-1", piece(run, b"x"))


def test_pieces_that_are_never_finished_count_too_and_go_in_time(run: ToolRun, settings: Any) -> None:
    settings.ARTIFACT_RUN_MB = 1
    whole = b"x" * 700_000
    piece_store("spark-1", piece(run, whole[:600_000], whole, name="a", last=False))
    with pytest.raises(PieceRefused) as refused:
        piece_store("spark-1", piece(run, whole[:600_000], whole, name="b", last=False))
    assert refused.value.status == 413
    piece_store("spark-1", piece(run, whole[600_000:], whole, name="a", offset=600_000))
    for number in range(FILES_MOST - 1):
        piece_store("spark-1", piece(run, b"", b"x", name=f"part {number}", last=False))
    with pytest.raises(PieceRefused, match="may leave"):
        piece_store("spark-1", piece(run, b"", b"x", name="one more", last=False))
    parts = list(artifact_store.run_folder(run.uid).glob("*.part"))
    os.utime(parts[0], (0, 0))
    assert folders_tidy() == 0
    assert [part.exists() for part in parts] == [False] + [True] * (FILES_MOST - 2)


def test_a_full_disk_is_said_and_leaves_no_part(run: ToolRun, monkeypatch: pytest.MonkeyPatch) -> None:
    piece_store("spark-1", piece(run, b"x" * 10, b"x" * 20, last=False))
    opened = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if "a" in mode:
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(PieceRefused) as refused:
        piece_store("spark-1", piece(run, b"x" * 10, b"x" * 20, offset=10))
    assert refused.value.status == 507
    assert not list(artifact_store.run_folder(run.uid).glob("*.part"))


def test_the_reserve_of_the_disk_is_kept(run: ToolRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact_store, "DISK_RESERVE_GB", 10**9)
    with pytest.raises(PieceRefused) as refused:
        piece_store("spark-1", piece(run, b"x"))
    assert refused.value.status == 507


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("a\\..\\b.txt", "a/b.txt"),
        ("gpj.\u202eexe", "gpj.exe"),
        ("a\nb\r\x1b[31m", "ab[31m"),
        ("x" * 300, "x" * 200),
        ("plots/1.png", "plots/1.png"),
    ],
)
def test_names_are_shown_on_one_line_and_lead_nowhere(name: str, shown: str) -> None:
    assert name_clean(name) == shown


# What is a picture -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (png(), "image/png"),
        (png(100_000, 100_000), None),  # a decompression bomb
        (png(0, 5), None),
        (b"GIF89a" + struct.pack("<HH", 5, 5), "image/gif"),
        (
            b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + struct.pack(">HH", 5, 6) + b"\x03" * 9,
            "image/jpeg",
        ),
        (b"\xff\xd8\xff\xe0", None),
        (b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + b"\x01\0\0\x01\0\0", "image/webp"),
        (b"RIFF\0\0\0\0WEBP", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_a_picture_is_what_begins_as_one(head: bytes, media_type: str | None) -> None:
    assert raster_type(head) == media_type


@pytest.mark.parametrize(
    ("data", "claimed", "kind", "media_type"),
    [
        (png(), "image/png", ArtifactKind.IMAGE, "image/png"),
        (png(), "text/html", ArtifactKind.IMAGE, "image/png"),
        (b"<svg>", "image/svg+xml", ArtifactKind.FILE, "application/octet-stream"),
        (b"<html>", "text/html", ArtifactKind.FILE, "text/html"),
        (b"{}", "../x", ArtifactKind.FILE, "application/octet-stream"),
    ],
)
def test_what_a_file_says_of_itself_does_not_count(
    run: ToolRun, data: bytes, claimed: str, kind: str, media_type: str
) -> None:
    artifact = piece_store("spark-1", piece(run, data, media_type=claimed, kind="image"))
    assert artifact is not None
    assert (artifact.kind, artifact.media_type) == (kind, media_type)


# Serving -----------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/plain"])
@pytest.mark.parametrize("query", ["", "?inline=1"])
def test_nothing_but_pictures_is_ever_shown(
    run: ToolRun, client_of: Any, operator: User, media_type: str, query: str
) -> None:
    artifact = piece_store(
        "spark-1", piece(run, b"<script>alert(1)</script>", name='a"b.html', media_type=media_type)
    )
    assert artifact is not None
    answer = client_of(operator).get(f"/api/runs/{run.uid}/artifacts/{artifact.uid}{query}")
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Content-Type"] in ("application/octet-stream", "text/plain")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert answer["Content-Security-Policy"].endswith("sandbox")


def test_a_picture_may_be_shown(run: ToolRun, client_of: Any, operator: User) -> None:
    artifact = piece_store("spark-1", piece(run, png(), name="plot.png"))
    assert artifact is not None
    url = f"/api/runs/{run.uid}/artifacts/{artifact.uid}"
    client = client_of(operator)
    assert client.get(url)["Content-Disposition"] == 'attachment; filename="plot.png"'
    assert client.get(f"{url}?inline=1")["Content-Disposition"] == 'inline; filename="plot.png"'
    (row,) = client.get(f"/api/runs/{run.uid}/artifacts").json()
    assert (row["url"], row["is_image"]) == (url, True)
    artifact_path(artifact).unlink()
    assert client.get(url).status_code == 404


def test_files_are_only_for_those_who_may_see_the_run(
    run: ToolRun, client_of: Any, admin: User, viewer: User
) -> None:
    artifact = piece_store("spark-1", piece(run, b"x"))
    assert artifact is not None
    url = f"/api/runs/{run.uid}/artifacts/{artifact.uid}"
    assert client_of(admin).get(url).status_code == 200
    assert client_of(viewer).get(url).status_code == 404
    other = ToolRun.objects.create(tool_name="code", node_name="spark-1", user=viewer)
    assert client_of(viewer).get(f"/api/runs/{other.uid}/artifacts/{artifact.uid}").status_code == 404


def test_output_is_paged_in_bytes(run: ToolRun, client_of: Any, operator: User) -> None:
    whole = b"line \xff\0 of output\n" * 10_000
    piece_store("spark-1", piece(run, whole, kind="stdout", name="stdout"))
    run.stdout, run.stdout_bytes, run.truncated = "head … tail", len(whole), True
    run.save()
    client, at, read = client_of(operator), 0, b""
    while at is not None:
        page = client.get(f"/api/runs/{run.uid}/output", {"offset": at, "limit": 100_000}).json()
        read += base64.b64decode(page["base64"])
        at = page["next_offset"]
    assert (read, page["whole"], page["size_bytes"]) == (whole, True, len(whole))
    assert "\0" not in page["text"]
    page = output_page(run, fd=2)
    assert (page["text"], page["next_offset"], page["whole"]) == ("", None, True)


def test_without_the_whole_head_and_tail_are_paged(run: ToolRun) -> None:
    run.stdout, run.stdout_bytes = "head and tail", 10**9
    page = output_page(run, offset=5, limit=3)
    assert (page["text"], page["next_offset"], page["whole"]) == ("and", 8, False)
    assert output_page(run, offset=10**6)["text"] == ""


@pytest.mark.parametrize(
    "query", [{"fd": 3}, {"offset": -1}, {"limit": 0}, {"limit": 10**9}, {"offset": "x"}]
)
def test_odd_pages(run: ToolRun, client_of: Any, operator: User, query: Any) -> None:
    assert client_of(operator).get(f"/api/runs/{run.uid}/output", query).status_code == 400


# Retention ----------------------------------------------------------------------------------


def test_old_files_and_old_runs_go_and_so_do_their_folders(run: ToolRun, settings: Any) -> None:
    artifact = piece_store("spark-1", piece(run, b"x"))
    assert artifact is not None
    path = artifact_path(artifact)
    Artifact.objects.update(created_at=timezone.now() - timedelta(days=31))
    ToolRun.objects.update(live=False, ended_at=timezone.now() - timedelta(days=31))
    runs_prune()
    assert (path.exists(), path.parent.exists(), ToolRun.objects.count()) == (False, False, 1)
    ToolRun.objects.update(ended_at=timezone.now() - timedelta(days=91))
    runs_prune()
    assert not ToolRun.objects.exists()
    assert folders_tidy() == 0
