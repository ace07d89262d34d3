"""Uploaded archives: what is taken out of them, and what has them refused."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from transcripts_app.importing.unpack import Limits, UploadRefused, unpack

LINE = b'{"type":"user"}\n'
NAME = "projects/-home-ada/one.jsonl"
Make = Callable[[Path], None]


def _zip(*entries: tuple[str | zipfile.ZipInfo, bytes], how: int = zipfile.ZIP_DEFLATED) -> Make:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", how) as archive:
            for name, data in entries:
                archive.writestr(name, data)

    return make


def _tar(*entries: tuple[tarfile.TarInfo, bytes]) -> Make:
    def make(path: Path) -> None:
        with tarfile.open(path, "w:gz") as archive:
            for info, data in entries:
                if info.isreg():
                    info.size = len(data)
                archive.addfile(info, io.BytesIO(data))

    return make


def _info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def _mode(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o644) << 16
    return info


def _encrypted(path: Path) -> None:
    _zip((NAME, LINE), how=zipfile.ZIP_STORED)(path)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


def _directory_lies(path: Path) -> None:
    _zip((NAME, LINE))(path)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x05\x06")
    data[at + 12 : at + 16] = struct.pack("<I", 2**31)
    path.write_bytes(data)


def _crc_wrong(path: Path) -> None:
    _zip((NAME, LINE), how=zipfile.ZIP_STORED)(path)
    path.write_bytes(path.read_bytes().replace(b'"user"', b'"uzer"'))


def _cut(make: Make) -> Make:
    def cut(path: Path) -> None:
        make(path)
        path.write_bytes(path.read_bytes()[:-30])

    return cut


def _pax_bomb(path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**33
    with gzip.open(path, "wb") as out:
        out.write(header.tobuf(tarfile.GNU_FORMAT))
        out.write(b"0" * 2**20)


def _gzip_of_nothing(path: Path) -> None:
    info = _info("projects/big.bin")
    info.size = 200 * 2**20
    with gzip.open(path, "wb") as out:
        out.write(info.tobuf())
        for _ in range(200):
            out.write(bytes(2**20))


HOSTILE: list[tuple[str, Make, str]] = [
    ("up.zip", _zip(("../x.jsonl", LINE)), "entry ../x.jsonl leads out of its folder"),
    ("deep-up.zip", _zip(("a/b/../../../x.jsonl", LINE)), "leads out of its folder"),
    ("absolute.zip", _zip(("/etc/x.jsonl", LINE)), "has an absolute name"),
    ("drive.zip", _zip(("C:/x.jsonl", LINE)), "has an absolute name"),
    ("backslash.zip", _zip(("a\\..\\x.jsonl", LINE)), "has a backslash in its name"),
    ("control.zip", _zip(("a\nb.jsonl", LINE)), "has control characters in its name"),
    ("long.zip", _zip(("x" * 300 + ".jsonl", LINE)), "has too long a name"),
    ("deep.zip", _zip(("a/" * 30 + "x.jsonl", LINE)), "lies more than 16 folders deep"),
    ("link.zip", _zip((_mode("x.jsonl", stat.S_IFLNK), b"/etc/passwd")), "is a link"),
    ("device.zip", _zip((_mode("x.jsonl", stat.S_IFCHR), b"")), "is a device, pipe or socket"),
    ("encrypted.zip", _encrypted, "is encrypted"),
    ("bzip2.zip", _zip((NAME, LINE), how=zipfile.ZIP_BZIP2), "is packed in a way that is not read here"),
    ("bomb.zip", _zip((NAME, bytes(80 * 2**20))), "unpacks to more than 200 times its size"),
    ("many.zip", _zip(*((f"{number}.txt", b"") for number in range(60))), "more than 50 entries"),
    ("twice.zip", _zip((NAME, LINE), ("./" + NAME, LINE)), "is there twice"),
    ("file-and-folder.zip", _zip(("a.jsonl", LINE), ("a.jsonl/b.jsonl", LINE)), "as a file and as a folder"),
    ("directory.zip", _directory_lies, "Its directory is larger"),
    ("crc.zip", _crc_wrong, "is damaged, or no such archive"),
    ("cut.zip", _cut(_zip((NAME, LINE))), "is damaged, or no such archive"),
    ("empty.zip", lambda path: path.write_bytes(b""), "is damaged, or no such archive"),
    ("text.zip", lambda path: path.write_bytes(LINE), "is damaged, or no such archive"),
    ("up.tar.gz", _tar((_info("../x.jsonl"), LINE)), "leads out of its folder"),
    ("absolute.tgz", _tar((_info("/etc/x.jsonl"), LINE)), "has an absolute name"),
    ("symlink.tar.gz", _tar((_info("x.jsonl", tarfile.SYMTYPE, "/etc/passwd"), b"")), "is a link"),
    ("hardlink.tar.gz", _tar((_info("x.jsonl", tarfile.LNKTYPE, "y"), b"")), "is a link"),
    ("folder-link.tar.gz", _tar((_info("a", tarfile.SYMTYPE, "/tmp"), b"")), "entry a is a link"),
    ("device.tar.gz", _tar((_info("x.jsonl", tarfile.CHRTYPE), b"")), "is a device, pipe or socket"),
    ("pipe.tar.gz", _tar((_info("x.jsonl", tarfile.FIFOTYPE), b"")), "is a device, pipe or socket"),
    ("pax.tar.gz", _pax_bomb, "a header larger than any name needs"),
    ("nothing.tar.gz", _gzip_of_nothing, "unpacks to more than"),
    ("bomb.tar.gz", _tar((_info(NAME), bytes(80 * 2**20))), "unpacks to more than 200 times its size"),
    ("cut.tar.gz", _cut(_tar((_info(NAME), b"x" * 100_000))), "is damaged, or no such archive"),
    ("text.tar.gz", lambda path: path.write_bytes(LINE), "is damaged, or no such archive"),
    ("note.txt", lambda path: path.write_bytes(LINE), "is none of .jsonl, .zip, .tar.gz, .tgz"),
]


@pytest.mark.parametrize(("name", "make", "says"), HOSTILE, ids=[name for name, _, _ in HOSTILE])
def test_it_is_refused_in_a_sentence_and_nothing_escapes(
    tmp_path: Path, name: str, make: Make, says: str
) -> None:
    source, target = tmp_path / "upload", tmp_path / "out" / "deep"
    target.mkdir(parents=True)
    make(source)
    with pytest.raises(UploadRefused) as refused:
        unpack(source, name, target, Limits(unpacked=150 * 2**20, entries=50))
    assert says in str(refused.value)
    assert set(tmp_path.iterdir()) == {source, tmp_path / "out"}
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]


FILES = {
    ".claude/projects/-home-ada/one.jsonl": LINE,
    ".claude/projects/-home-ada/one/subagents/agent-a.jsonl": LINE * 2,
    ".claude/projects/-home-ada/one/tool-results/t.txt": b"result",
    ".claude/settings.json": b"{}",
}


@pytest.mark.parametrize("name", ["all.zip", "all.tar.gz"])
def test_transcripts_come_out_and_others_are_left(tmp_path: Path, name: str) -> None:
    make = (
        _zip(*FILES.items())
        if name.endswith("zip")
        else _tar(
            (_info(".claude", tarfile.DIRTYPE), b""), *((_info(path), data) for path, data in FILES.items())
        )
    )
    source, target = tmp_path / "upload", tmp_path / "out"
    target.mkdir()
    make(source)
    told: list[int] = []
    out = unpack(source, name, target, told=told.append)
    assert sorted(out.paths) == [
        "-home-ada/one.jsonl", "-home-ada/one/subagents/agent-a.jsonl", "-home-ada/one/tool-results/t.txt",
    ]  # fmt: skip
    assert (out.left_out, out.bytes, told[-1]) == (1, len(LINE) * 3 + 6, len(LINE) * 3 + 6)
    assert (target / "-home-ada/one/subagents/agent-a.jsonl").read_bytes() == LINE * 2


def test_a_session_alone_is_taken_as_it_is(tmp_path: Path) -> None:
    source, target = tmp_path / "upload", tmp_path / "out"
    target.mkdir()
    source.write_bytes(LINE)
    assert unpack(source, "one.jsonl", target).paths == ["one.jsonl"]
