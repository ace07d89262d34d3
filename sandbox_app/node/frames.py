"""What goes over the attached stream of a container, as bytes: Docker's chunks, and in them our frames.

Docker puts eight bytes before each chunk: which stream, three zeros, the length. On the container's
stdout the keeper (sandbox_app/inside/wait.py) writes frames: nonce, kind, length, payload. Pure.
"""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

NO_NONCE = bytes(16)
PAYLOAD_MOST_BYTES = 2 * 2**20
WORDS_KEPT_BYTES = 4096

READY = "R"
STDOUT = "1"
STDERR = "2"
RESULT = "V"
ARTIFACT = "A"
ARTIFACT_DATA = "D"
END = "E"

_DOCKER = struct.Struct(">B3xI")
_FRAME = struct.Struct(">16s1sI")


class Frame(NamedTuple):
    """One thing that the keeper said."""

    kind: str
    payload: bytes


class FramesBroken(Exception):
    """What came is no frame, or has another nonce: somebody else wrote it."""


class FrameReader:
    """Takes bytes as they come, gives whole frames. `nonce` is what each must carry from now on."""

    def __init__(self) -> None:
        self.nonce = NO_NONCE
        self.words = b""
        """The last that came on the container's stderr: a keeper that fails says why there."""
        self._raw = bytearray()
        self._stream = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now. Raises FramesBroken."""
        self._raw += data
        self._chunks_take()
        frames = []
        while (frame := self._frame_take()) is not None:
            frames.append(frame)
        return frames

    def _chunks_take(self) -> None:
        while len(self._raw) >= _DOCKER.size:
            stream, length = _DOCKER.unpack_from(self._raw)
            if stream > 2:
                raise FramesBroken(f"the engine sent a chunk of an unknown stream ({stream})")
            if len(self._raw) < _DOCKER.size + length:
                return
            chunk = self._raw[_DOCKER.size : _DOCKER.size + length]
            del self._raw[: _DOCKER.size + length]
            if stream == 1:
                self._stream += chunk
            else:
                self.words = (self.words + chunk)[-WORDS_KEPT_BYTES:]

    def _frame_take(self) -> Frame | None:
        if len(self._stream) < _FRAME.size:
            return None
        nonce, kind, length = _FRAME.unpack_from(self._stream)
        if nonce != self.nonce or length > PAYLOAD_MOST_BYTES:
            raise FramesBroken("something but the keeper wrote to the container's output")
        if len(self._stream) < _FRAME.size + length:
            return None
        payload = bytes(self._stream[_FRAME.size : _FRAME.size + length])
        del self._stream[: _FRAME.size + length]
        return Frame(kind.decode("latin-1"), payload)


def frame_to_keeper(kind: str, payload: bytes) -> bytes:
    """A frame as the keeper reads it."""
    return struct.pack(">IB", len(payload), ord(kind)) + payload


def job_frame(job: dict[str, Any], payload: bytes) -> bytes:
    """A job and, right after it, what the tool reads on its stdin."""
    return frame_to_keeper("J", json.dumps({**job, "input_bytes": len(payload)}).encode()) + payload
