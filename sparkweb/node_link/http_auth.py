"""How a node proves itself on an HTTP request, for bytes too large for Redis.

    X-SparkWeb-Node       its name
    X-SparkWeb-Time       seconds since the epoch, by the clock of web
    X-SparkWeb-Nonce      32 hex digits, never used twice
    X-SparkWeb-Signature  Ed25519, base64, of `http|node|method|target|time|nonce|SHA-256 of the body`

Web takes a request whose time is within two minutes of its own and whose nonce it has
not seen for that long. A node's clock may be off: web tells its own with each refusal
for the time's sake, and the node counts from there. No Django here.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sparkweb.node_link.signatures import NODE_NAME, Signer, signature_holds

NODE, TIME, NONCE, SIGNATURE = (
    "X-SparkWeb-Node",
    "X-SparkWeb-Time",
    "X-SparkWeb-Nonce",
    "X-SparkWeb-Signature",
)
WINDOW_SECONDS = 120
NONCE_KEPT_SECONDS = 2 * WINDOW_SECONDS + 60


class ProofInvalid(ValueError):
    """The headers prove nothing; the sentence says what is wrong with them."""


@dataclass(frozen=True)
class Proof:
    """What the headers of a request claim. Nothing of it is true before `holds`."""

    node: str
    at: int
    nonce: str
    signature: str

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Proof:
        """Take the headers apart. Raises ProofInvalid."""
        node, at, nonce, signature = (headers.get(name) or "" for name in (NODE, TIME, NONCE, SIGNATURE))
        if not NODE_NAME.fullmatch(node):
            raise ProofInvalid(f"{NODE}: no name of a node")
        if not re.fullmatch(r"[0-9]{1,12}", at):
            raise ProofInvalid(f"{TIME}: no seconds since the epoch")
        if not re.fullmatch(r"[0-9a-f]{32}", nonce):
            raise ProofInvalid(f"{NONCE}: must be 32 hex digits")
        if not signature:
            raise ProofInvalid(f"{SIGNATURE}: is missing")
        return cls(node, int(at), nonce, signature)

    def is_timely(self, now: float) -> bool:
        """Whether it was made about now (seconds since the epoch)."""
        return abs(now - self.at) <= WINDOW_SECONDS

    def holds(self, key: Ed25519PublicKey, method: str, target: str, body: bytes) -> bool:
        """Whether the owner of `key` signed exactly this request."""
        message = _message(self.node, method, target, self.at, self.nonce, body)
        return signature_holds(key, message, self.signature)


def proof_headers(signer: Signer, method: str, target: str, body: bytes, at: float) -> dict[str, str]:
    """Sign a request; `target` is its path with the query, `at` the time by the clock of web."""
    nonce, seconds = secrets.token_hex(16), int(at)
    signature = signer.sign(_message(signer.node_name, method, target, seconds, nonce, body))
    return {NODE: signer.node_name, TIME: str(seconds), NONCE: nonce, SIGNATURE: signature}


def _message(node: str, method: str, target: str, at: int, nonce: str, body: bytes) -> bytes:
    return f"http|{node}|{method}|{target}|{at}|{nonce}|{hashlib.sha256(body).hexdigest()}".encode()
