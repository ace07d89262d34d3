"""The envelope around everything that a node sends, on `report:<node>` and `from:<node>`.

    {"b": boot or journal id, "s": sequence, "f": oldest unacknowledged sequence (facts only),
     "p": payload as JSON text, "g": signature, base64}

The signature covers `stream-kind|node|b|s|f|p` (f empty for reports), so that nothing signed
for one stream, node, boot or place in line is worth anything in another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sparkweb.node_link.signatures import Signer, signature_holds

Kind = Literal["report", "from"]
KINDS: tuple[Kind, ...] = ("report", "from")
SEQUENCE_LIMIT = 2**62
ORIGIN = re.compile(r"[0-9a-f-]{32,36}")


class EnvelopeInvalid(ValueError):
    """What came is no envelope of the right shape."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One envelope; `origin` is the boot id of a report or the journal id of a fact."""

    origin: str
    sequence: int
    oldest: int | None
    payload: str
    signature: str

    def to_data(self) -> dict[str, Any]:
        """Return the stream entry."""
        data: dict[str, Any] = {"b": self.origin, "s": self.sequence, "p": self.payload, "g": self.signature}
        if self.oldest is not None:
            data["f"] = self.oldest
        return data

    def is_signed_by(self, key: Ed25519PublicKey, kind: Kind, node_name: str) -> bool:
        """Say whether the owner of `key` signed this for stream `kind` of `node_name`."""
        message = _message(kind, node_name, self.origin, self.sequence, self.oldest, self.payload)
        return signature_holds(key, message, self.signature)


def envelope_seal(
    signer: Signer, kind: Kind, origin: str, sequence: int, payload: str, oldest: int | None = None
) -> Envelope:
    """Sign `payload` (JSON text) for the stream `kind` of the signer's node."""
    signature = signer.sign(_message(kind, signer.node_name, origin, sequence, oldest, payload))
    return Envelope(origin, sequence, oldest, payload, signature)


def envelope_open(kind: Kind, data: dict[str, Any]) -> Envelope:
    """Take the entry's fields apart without trusting any. Raises EnvelopeInvalid.

    The signature is not checked here: `is_signed_by` does.
    """
    origin, sequence, payload, signature = (data.get(name) for name in "bspg")
    oldest = data.get("f")
    if not (isinstance(origin, str) and ORIGIN.fullmatch(origin)):
        raise EnvelopeInvalid("b: no id of 32 hex digits")
    if not (isinstance(sequence, int) and _is_sequence(sequence)):
        raise EnvelopeInvalid("s: no sequence")
    if (kind == "from") != _is_sequence(oldest) or (kind == "report" and oldest is not None):
        raise EnvelopeInvalid("f: must be a sequence in facts, absent in reports")
    if not (isinstance(payload, str) and isinstance(signature, str)):
        raise EnvelopeInvalid("p, g: must be text")
    return Envelope(origin, sequence, oldest, payload, signature)


def _is_sequence(value: object) -> bool:
    return type(value) is int and 1 <= value < SEQUENCE_LIMIT


def _message(kind: Kind, node: str, origin: str, sequence: int, oldest: int | None, payload: str) -> bytes:
    first = "" if oldest is None else oldest
    return f"{kind}|{node}|{origin}|{sequence}|{first}|{payload}".encode()
