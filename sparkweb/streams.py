"""Ordered, bounded, resumable streams between processes, over Redis Streams.

    streams = Streams("unix:///run/redis.sock")
    offset = streams.append("log:spark-1:m1", {"lines": ["…"]})
    for item in streams.read({"log:spark-1:m1": "0"}, block_seconds=1):
        ...                                # an Entry, or a Gap where entries are missing

Names are given without the prefix `sparkweb:` that all keys carry. Offsets are Redis
entry ids, made by the server's clock and ever growing.

How a gap is known for certain: each entry names its predecessor (field `p`, what the
writer appended before it). A reader that continues after offset A and receives an
entry whose predecessor is later than A has missed something; otherwise it has not,
even if A itself was trimmed meanwhile. The same holds after Redis was flushed or came
back with an older state. A stream has one writing process (several threads may
share a `Streams`).

Bounds: trimming is by whole Redis nodes (`MAXLEN ~`), so a stream may exceed its
bound by up to 100 small entries, never fall below it. Nothing here retries: when Redis
does not answer, callers get `StreamsDown` at once and decide what to drop or keep.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

KEY_PREFIX = "sparkweb:"
ENTRY_LIMIT_BYTES = 256 * 1024
BLOCK_LIMIT_SECONDS = 30.0
# A stream whose newest entry is older than the reader's offset was lost and begun anew
# under a clock set back; looked for this often.
REWIND_CHECK_SECONDS = 5.0
BEGINNING = "0-0"


@dataclass(frozen=True)
class Limit:
    """How many entries a kind of stream keeps, and how long an idle one stays (None: for ever)."""

    maxlen: int
    expire_seconds: int | None


# By kind, the word before the first colon of a stream's name.
LIMITS = {
    "report": Limit(120, 3600),
    "from": Limit(10_000, None),
    "log": Limit(4_000, 7 * 86400),
    "live": Limit(900, 86400),
    "tool": Limit(2_000, 3600),
}
DEFAULT_LIMIT = Limit(1_000, 86400)


class StreamsDown(Exception):
    """Redis did not answer, or refused; the sentence says where and why. Try again later."""


class EntryTooLarge(ValueError):
    """An entry over 256 kB. Bytes of that size travel by HTTPS instead."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `data` is empty where what was found is no JSON object within the size limit."""

    stream: str
    offset: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries after `after` and before `first` were trimmed or lost before they were read."""

    stream: str
    after: str
    first: str


def offset_key(offset: str) -> tuple[int, int]:
    """Order of an offset: milliseconds and number within them; "0" comes first.

    Raises ValueError for anything that is not an offset.
    """
    milliseconds, _, number = offset.partition("-")
    return int(milliseconds), int(number or 0)


class Streams:
    """Client of one Redis, for threads (`append`, `read`) and for asyncio (`aread`).

    `timeout_seconds` bounds each call beyond the time that a read was told to block.
    """

    def __init__(self, redis_url: str, timeout_seconds: float = 1.0) -> None:
        self._url = redis_url
        self._timeout_seconds = timeout_seconds
        self._place = redis_url.rpartition("@")[2].removeprefix("unix://")
        self._lock = threading.Lock()
        self._clients: dict[int, redis.Redis] = {}
        self._aclients: weakref.WeakKeyDictionary[Any, dict[int, redis.asyncio.Redis]] = (
            weakref.WeakKeyDictionary()
        )
        self._writers: dict[str, _Writer] = {}
        self._rewind_checked_at: dict[str, float] = {}

    # Writing -------------------------------------------------------------------

    def append(self, stream: str, data: Mapping[str, Any], maxlen: int | None = None) -> str:
        """Append `data` and return its offset.

        Keeps the newest `maxlen` entries, by default as `LIMITS` says for the kind.
        Raises EntryTooLarge, TypeError for data that is no JSON, and StreamsDown; then the
        entry may or may not have arrived.
        """
        payload = orjson.dumps(data)
        if len(payload) > ENTRY_LIMIT_BYTES:
            raise EntryTooLarge(
                f"{stream}: an entry of {len(payload)} bytes; the limit is {ENTRY_LIMIT_BYTES}"
            )
        limit = LIMITS.get(stream.partition(":")[0], DEFAULT_LIMIT)
        with self._lock:
            writer = self._writers.setdefault(stream, _Writer())
        with writer.lock, self._errors():
            writer.last = writer.last or self._newest(stream)
            pipe = self._client().pipeline(transaction=False)
            fields: dict[Any, Any] = {b"d": payload, b"p": writer.last}
            pipe.xadd(KEY_PREFIX + stream, fields, maxlen=maxlen or limit.maxlen, approximate=True)
            if limit.expire_seconds is not None:
                pipe.expire(KEY_PREFIX + stream, limit.expire_seconds)
            writer.last = pipe.execute()[0].decode()
        return writer.last

    def trim(self, stream: str, through: str) -> None:
        """Remove the entries up to and including offset `through`. Raises StreamsDown."""
        milliseconds, number = offset_key(through)
        with self._errors():
            self._client().xtrim(KEY_PREFIX + stream, minid=f"{milliseconds}-{number + 1}", approximate=False)

    def put(self, key: str, value: bytes | str, expire_seconds: int | None = None) -> None:
        """Set one plain key, for good or for `expire_seconds`. Raises StreamsDown."""
        with self._errors():
            self._client().set(KEY_PREFIX + key, value, ex=expire_seconds)

    def claim(self, key: str, expire_seconds: int) -> bool:
        """Set a plain key that must not be there yet; False if it was. Raises StreamsDown."""
        with self._errors():
            return bool(self._client().set(KEY_PREFIX + key, b"1", nx=True, ex=expire_seconds))

    # Reading -------------------------------------------------------------------

    def fetch(self, keys: list[str]) -> list[bytes | None]:
        """Read plain keys at once, None for each that is not there. Raises StreamsDown."""
        if not keys:
            return []
        with self._errors():
            found: Any = self._client().mget([KEY_PREFIX + key for key in keys])
            return list(found)

    def last(self, stream: str) -> str:
        """Offset of the newest entry ever appended, "0-0" if there is none.

        A loop that wants only what comes from now on starts here. Raises StreamsDown.
        """
        with self._errors():
            return self._newest(stream)

    def read(
        self, streams: Mapping[str, str], block_seconds: float = 0.0, count: int = 100
    ) -> list[Entry | Gap]:
        """Read up to `count` entries of each stream after its offset, oldest first.

        Waits up to `block_seconds` (at most 30) for the first one; an empty list means that
        none came. `"0"` reads from the start; `"$"` only what comes during this call: a loop
        begins with `last()` instead, or loses what arrives between two calls.
        Raises StreamsDown.
        """
        if not streams:
            return []
        with self._errors():
            after = {name: self._newest(name) if at == "$" else at for name, at in streams.items()}
            client, block = self._client(block_seconds), _block_milliseconds(block_seconds)
            keys: dict[Any, Any] = {KEY_PREFIX + name: at for name, at in after.items()}
            items = _items(after, client.xread(keys, count=count, block=block))
            for name in self._due_for_rewind_check(after, items):
                if offset_key(self._newest(name)) < offset_key(after[name]):
                    reply = client.xread({KEY_PREFIX + name: "0"}, count=count)
                    items += _begun_anew(name, after[name], reply)
            return items

    async def alast(self, stream: str) -> str:
        """`last` for asyncio."""
        with self._errors():
            return await self._anewest(stream)

    async def aread(
        self, streams: Mapping[str, str], block_seconds: float = 0.0, count: int = 100
    ) -> list[Entry | Gap]:
        """`read` for asyncio: the same arguments, result and errors."""
        if not streams:
            return []
        with self._errors():
            after = {name: await self._anewest(name) if at == "$" else at for name, at in streams.items()}
            client, block = self._aclient(block_seconds), _block_milliseconds(block_seconds)
            keys: dict[Any, Any] = {KEY_PREFIX + name: at for name, at in after.items()}
            items = _items(after, await client.xread(keys, count=count, block=block))
            for name in self._due_for_rewind_check(after, items):
                if offset_key(await self._anewest(name)) < offset_key(after[name]):
                    reply = await client.xread({KEY_PREFIX + name: "0"}, count=count)
                    items += _begun_anew(name, after[name], reply)
            return items

    # Ending --------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections that threads have used; a read that blocks runs to its end."""
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """Close the connections that belong to the running event loop."""
        for client in self._aclients.pop(asyncio.get_running_loop(), {}).values():
            await client.aclose()

    # Within --------------------------------------------------------------------

    def _client(self, block_seconds: float = 0.0) -> redis.Redis:
        whole = _whole_seconds(block_seconds)
        with self._lock:
            if whole not in self._clients:
                options = _client_options(whole + self._timeout_seconds, self._timeout_seconds)
                self._clients[whole] = redis.Redis.from_url(self._url, retry=Retry(NoBackoff(), 0), **options)
            return self._clients[whole]

    def _aclient(self, block_seconds: float = 0.0) -> redis.asyncio.Redis:
        whole = _whole_seconds(block_seconds)
        clients = self._aclients.setdefault(asyncio.get_running_loop(), {})
        if whole not in clients:
            options = _client_options(whole + self._timeout_seconds, self._timeout_seconds)
            # asyncio's pool hands out connections that died unnoticed; what it does here may be done twice.
            retry = redis.asyncio.retry.Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
            clients[whole] = redis.asyncio.Redis.from_url(self._url, retry=retry, **options)
        return clients[whole]

    def _newest(self, stream: str) -> str:
        try:
            return _last_generated(self._client().xinfo_stream(KEY_PREFIX + stream))
        except redis.ResponseError as error:
            return _beginning_if_missing(error)

    async def _anewest(self, stream: str) -> str:
        try:
            return _last_generated(await self._aclient().xinfo_stream(KEY_PREFIX + stream))
        except redis.ResponseError as error:
            return _beginning_if_missing(error)

    def _due_for_rewind_check(self, after: Mapping[str, str], items: list[Entry | Gap]) -> list[str]:
        now = time.monotonic()
        heard = {item.stream for item in items}
        due = []
        for name in after:
            checked_at = self._rewind_checked_at.setdefault(name, now)
            if name in heard:
                self._rewind_checked_at[name] = now
            elif now - checked_at > REWIND_CHECK_SECONDS and after[name] not in ("0", BEGINNING):
                self._rewind_checked_at[name] = now
                due.append(name)
        return due

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as error:
            raise StreamsDown(f"Redis at {self._place}: {error}") from error


class _Writer:
    """What one process appended last to a stream."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last = ""


def _client_options(socket_timeout: float, connect_timeout: float) -> dict[str, Any]:
    return {
        "socket_timeout": socket_timeout,
        "socket_connect_timeout": connect_timeout,
        "protocol": 2,
        "driver_info": None,  # no CLIENT SETINFO: an agent's ACL user may not
    }


def _whole_seconds(block_seconds: float) -> int:
    if not 0 <= block_seconds <= BLOCK_LIMIT_SECONDS:
        raise ValueError(f"block_seconds={block_seconds}: must lie between 0 and {BLOCK_LIMIT_SECONDS:.0f}")
    return -int(-block_seconds // 1)


def _block_milliseconds(block_seconds: float) -> int | None:
    # To Redis, BLOCK 0 means for ever.
    return max(1, int(block_seconds * 1000)) if block_seconds > 0 else None


def _last_generated(info: Any) -> str:
    offset: bytes = info["last-generated-id"]
    return offset.decode()


def _beginning_if_missing(error: redis.ResponseError) -> str:
    if "no such key" in str(error):
        return BEGINNING
    raise error


def _items(after: Mapping[str, str], reply: Any) -> list[Entry | Gap]:
    """Turn an XREAD reply (RESP 2) into entries, with gaps where the chain of predecessors breaks."""
    items: list[Entry | Gap] = []
    for key, entries in reply or ():
        name = key.decode().removeprefix(KEY_PREFIX)
        position = after[name]
        for raw_offset, fields in entries:
            offset = raw_offset.decode()
            if fields is not None and _is_gap(position, fields.get(b"p")):
                items.append(Gap(name, position, offset))
            items.append(Entry(name, offset, _decode(fields)))
            position = offset
    return items


def _begun_anew(name: str, after: str, reply: Any) -> list[Entry | Gap]:
    entries = [item for item in _items({name: BEGINNING}, reply) if isinstance(item, Entry)]
    return [Gap(name, after, entries[0].offset), *entries] if entries else []


def _is_gap(position: str, predecessor: bytes | None) -> bool:
    try:
        before = offset_key((predecessor or b"").decode())
    except ValueError:
        return False  # not written by us; it cannot say what came before it
    at = offset_key(position)
    return before > at or (before == (0, 0) and at != (0, 0))


def _decode(fields: Any) -> dict[str, Any]:
    raw = (fields or {}).get(b"d", b"")
    if len(raw) > ENTRY_LIMIT_BYTES:
        return {}
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return data if isinstance(data, dict) else {}
