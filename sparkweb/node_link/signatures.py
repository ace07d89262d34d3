"""The key of a node: how it signs what it sends, and how control checks it.

Ed25519 (RFC 8032). The private key lives only in the node's `node.key` file, mode 0600, one line:

    sparkweb-node-key-1:<32 bytes in base64>

The public key, 32 bytes in base64, is what control stores.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT = "sparkweb-node-key-1"
NODE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class NodeKeyInvalid(Exception):
    """A key file or public key cannot be used; the sentence says why and what to do."""


class Signer:
    """A node's private key, which signs in the name of `node_name`."""

    def __init__(self, node_name: str, private_text: str) -> None:
        """Take the text of a key file. Raises NodeKeyInvalid."""
        if not NODE_NAME.fullmatch(node_name):
            raise NodeKeyInvalid(
                f"node name {node_name!r}: must be lower-case letters, digits and hyphens, at most 40"
            )
        kind, _, encoded = private_text.strip().partition(":")
        if kind != FORMAT:
            raise NodeKeyInvalid(f"is no node key: must begin with {FORMAT}:")
        try:
            self._private = Ed25519PrivateKey.from_private_bytes(_decode(encoded))
        except ValueError:
            raise NodeKeyInvalid(f"is no node key: after {FORMAT}: must come 32 bytes in base64") from None
        self.node_name = node_name

    @classmethod
    def load(cls, path: Path, node_name: str) -> Signer:
        """Read a key file. Raises NodeKeyInvalid when it is missing, damaged, or others may read it."""
        try:
            mode, text = path.stat().st_mode, path.read_text()
        except FileNotFoundError:
            raise NodeKeyInvalid(
                f"{path}: is missing; an admin creates node {node_name!r} and copies the key shown into it"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise NodeKeyInvalid(f"{path}: {error}") from None
        if mode & 0o077:
            raise NodeKeyInvalid(f"{path}: others may read it; run chmod 600 {path}")
        try:
            return cls(node_name, text)
        except NodeKeyInvalid as error:
            raise NodeKeyInvalid(f"{path}: {error}") from None

    @property
    def public_text(self) -> str:
        """The public key as control stores it."""
        return base64.b64encode(self._private.public_key().public_bytes_raw()).decode()

    def sign(self, message: bytes) -> str:
        """Return the signature of `message`, base64."""
        return base64.b64encode(self._private.sign(message)).decode()


def key_pair_make() -> tuple[str, str]:
    """Make a key: the text for a node's key file, and the public key that control stores."""
    private = Ed25519PrivateKey.generate()
    text = f"{FORMAT}:{base64.b64encode(private.private_bytes_raw()).decode()}\n"
    return text, base64.b64encode(private.public_key().public_bytes_raw()).decode()


def key_write(path: Path, private_text: str) -> None:
    """Put a node's private key into its file, in one step and readable by its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(private_text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def public_key_load(text: str) -> Ed25519PublicKey:
    """Read a public key as control stores it. Raises NodeKeyInvalid."""
    try:
        return Ed25519PublicKey.from_public_bytes(_decode(text))
    except ValueError:
        raise NodeKeyInvalid(f"public key {text[:60]!r}: is no key of 32 bytes in base64") from None


def signature_holds(key: Ed25519PublicKey, message: bytes, signature: str) -> bool:
    """Say whether `signature` (base64) is that of `message` by the owner of `key`."""
    try:
        key.verify(_decode(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(str(error)) from None
