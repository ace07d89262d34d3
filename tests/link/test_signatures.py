"""Node keys and envelopes: what holds, and everything that must not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweb.node_link.envelope import EnvelopeInvalid, envelope_open, envelope_seal
from sparkweb.node_link.signatures import (
    NodeKeyInvalid,
    Signer,
    key_pair_make,
    key_write,
    public_key_load,
    signature_holds,
)

BOOT = "6f1c2a34-0000-4000-8000-000000000001"
PRIVATE, PUBLIC = key_pair_make()
SIGNER = Signer("spark-1", PRIVATE)
KEY = public_key_load(PUBLIC)


def test_a_key_file_is_private_and_comes_back(tmp_path: Path):
    path = tmp_path / "agent" / "node.key"
    key_write(path, PRIVATE)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Signer.load(path, "spark-1").public_text == PUBLIC
    other, public = key_pair_make()
    key_write(path, other)
    assert Signer.load(path, "spark-1").public_text == public
    assert [file.name for file in path.parent.iterdir()] == ["node.key"]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path):
    path = tmp_path / "node.key"
    key_write(path, PRIVATE)
    path.chmod(0o640)
    with pytest.raises(NodeKeyInvalid, match=r"others may read it; run chmod 600"):
        Signer.load(path, "spark-1")


def test_a_missing_key_says_what_to_do(tmp_path: Path):
    with pytest.raises(NodeKeyInvalid, match=r"node\.key: is missing; an admin creates node 'spark-1'"):
        Signer.load(tmp_path / "node.key", "spark-1")


@pytest.mark.parametrize(
    "content",
    [b"", b"sparkweb-node-key-1:", b"sparkweb-node-key-1:AAAA", b"-----BEGIN PRIVATE KEY-----", b"\xff\xfe"],
)
def test_a_damaged_key_is_refused_without_showing_it(tmp_path: Path, content):
    path = tmp_path / "node.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(NodeKeyInvalid, match=r"node\.key: ") as caught:
        Signer.load(path, "spark-1")
    assert "AAAA" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "Spark", "a|b", "a:b", "a*", "-a", "x" * 41])
def test_node_names_that_could_break_out_are_refused(name):
    with pytest.raises(NodeKeyInvalid, match="node name"):
        Signer(name, PRIVATE)


# Fixed ids: the key differs in each process, and xdist compares names.
@pytest.mark.parametrize(
    "text", ["", "AAAA", "ä" * 44, "!" * 44, PUBLIC + "A"], ids=["empty", "short", "umlauts", "marks", "long"]
)
def test_a_bad_public_key_is_refused(text):
    with pytest.raises(NodeKeyInvalid, match="public key"):
        public_key_load(text)


@pytest.mark.parametrize("signature", ["", "A", "ä", "AAAA", "\x00"])
def test_a_broken_signature_does_not_hold(signature):
    assert not signature_holds(KEY, b"message", signature)


@given(payload=st.text(), sequence=st.integers(1, 2**40), oldest=st.integers(1, 2**40))
def test_what_was_sealed_opens_and_holds(payload, sequence, oldest):
    if not payload.isascii() and "\ud800" <= max(payload) <= "\udfff":
        return
    sealed = envelope_seal(SIGNER, "from", BOOT, sequence, payload, oldest)
    opened = envelope_open("from", sealed.to_data())
    assert opened == sealed and opened.is_signed_by(KEY, "from", "spark-1")


def test_a_signature_is_good_for_nothing_else():
    sealed = envelope_seal(SIGNER, "from", BOOT, 7, '{"a":1}', 5)
    assert sealed.is_signed_by(KEY, "from", "spark-1")
    assert not sealed.is_signed_by(KEY, "from", "spark-2")
    assert not sealed.is_signed_by(KEY, "report", "spark-1")
    other = public_key_load(key_pair_make()[1])
    assert not sealed.is_signed_by(other, "from", "spark-1")
    for change in ({"origin": BOOT[:-1] + "2"}, {"sequence": 8}, {"oldest": 7}, {"payload": '{"a":2}'}):
        assert not replace(sealed, **change).is_signed_by(KEY, "from", "spark-1")


@pytest.mark.parametrize(
    "change",
    [
        {"b": None}, {"b": 5}, {"b": "x"}, {"b": BOOT + "|1"}, {"b": ["a"] * 32},
        {"s": 0}, {"s": -1}, {"s": True}, {"s": "1"}, {"s": 1.0}, {"s": 2**63}, {"s": None},
        {"f": None}, {"f": 0}, {"f": "1"}, {"p": None}, {"p": {}}, {"g": None}, {"g": 1},
    ],
)  # fmt: skip
def test_an_envelope_of_the_wrong_shape_is_refused(change):
    data = envelope_seal(SIGNER, "from", BOOT, 7, "{}", 5).to_data() | change
    with pytest.raises(EnvelopeInvalid):
        envelope_open("from", data)


def test_reports_carry_no_oldest_fact():
    data = envelope_seal(SIGNER, "report", BOOT, 1, "{}").to_data()
    assert envelope_open("report", data).oldest is None and "f" not in data
    with pytest.raises(EnvelopeInvalid, match="f:"):
        envelope_open("report", data | {"f": 1})
    with pytest.raises(EnvelopeInvalid):
        envelope_open("report", {})


def test_the_signer_never_shows_its_key():
    secret = PRIVATE.strip().partition(":")[2]
    assert secret not in repr(SIGNER) and secret not in str(vars(SIGNER))


def test_it_loads_without_django():
    code = "import sys, sparkweb.node_link.envelope; assert 'django' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
