"""Where chunks lie: closed ones in the database, open ones in Redis."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

import structlog
from django.conf import settings
from django.db.models import Q

from metrics_app.history.packing import Chunk, ChunkDamaged, chunk_keys, chunk_unpack
from metrics_app.history.tiers import Tier
from metrics_app.models import SampleChunk
from sparkweb.shared_streams import shared_streams
from sparkweb.streams import StreamsDown

log = structlog.get_logger(__name__)

PRUNE_ROWS = 2_000
KEYS_OF_CHUNKS = 8


def open_key(node_name: str, tier: Tier) -> str:
    return f"history:{node_name}:{tier.number}"


def open_put(packed: Sequence[tuple[str, Tier, int, bytes]]) -> None:
    """Put open chunks (node, tier, start, bytes) where web reads them. Raises StreamsDown."""
    streams = shared_streams()
    for node_name, tier, start, data in packed:
        streams.put(open_key(node_name, tier), start.to_bytes(8, "little") + data, 2 * tier.period)


def open_find(node_name: str, tier: Tier, keys: Iterable[str] | None = None) -> tuple[int, Chunk] | None:
    """Return start and chunk of what is open on a node, or None. Raises StreamsDown."""
    (raw,) = shared_streams().fetch([open_key(node_name, tier)])
    if not raw:
        return None
    chunk = _unpack(raw[8:], keys, node_name)
    return (int.from_bytes(raw[:8], "little"), chunk) if chunk else None


def chunk_store(node_name: str, tier: Tier, start: int, data: bytes) -> None:
    """Store a closed chunk, in place of one that is there."""
    SampleChunk.objects.update_or_create(
        node_name=node_name,
        tier=tier.number,
        start=start,
        defaults={"end": start + tier.period, "data": data},
    )


def chunk_find(node_name: str, tier: Tier, start: int) -> Chunk | None:
    """Return a stored chunk, or None."""
    row = SampleChunk.objects.filter(node_name=node_name, tier=tier.number, start=start).first()
    return _unpack(bytes(row.data), None, node_name) if row else None


def chunks_between(
    node_name: str, tier: Tier, start: float, end: float, keys: Iterable[str] | None
) -> list[tuple[int, Chunk]]:
    """Return the stored chunks of a span, oldest first, with these series."""
    rows = SampleChunk.objects.filter(
        node_name=node_name, tier=tier.number, start__gt=start - tier.period, start__lt=end
    ).order_by("start")
    wanted = None if keys is None else list(keys)
    found = [
        (row_start, _unpack(bytes(data), wanted, node_name))
        for row_start, data in rows.values_list("start", "data")
    ]
    return [(row_start, chunk) for row_start, chunk in found if chunk is not None]


def keys_between(node_name: str, tier: Tier, start: float, end: float) -> list[str]:
    """Return the series that have readings on a node in a span, the open chunk included."""
    rows = SampleChunk.objects.filter(
        node_name=node_name, tier=tier.number, start__gt=start - tier.period, start__lt=end
    )
    packed = [bytes(data) for data in rows.order_by("-start").values_list("data", flat=True)[:KEYS_OF_CHUNKS]]
    with suppress(StreamsDown):
        (raw,) = shared_streams().fetch([open_key(node_name, tier)])
        packed += [raw[8:]] if raw else []
    keys: dict[str, None] = {}
    for data in packed:
        with suppress(ChunkDamaged):
            keys.update(dict.fromkeys(chunk_keys(data)))
    return list(keys)


def prune(now: float | None = None) -> int:
    """Delete chunks whose time is over, at most 2,000 at once. Returns how many."""
    now = time.time() if now is None else now
    over = Q(pk__in=[])
    for tier in settings.HISTORY_TIERS:
        over |= Q(tier=tier.number, end__lt=int(now - tier.keep))
    doomed = list(SampleChunk.objects.filter(over).values_list("pk", flat=True)[:PRUNE_ROWS])
    SampleChunk.objects.filter(pk__in=doomed).delete()
    return len(doomed)


def _unpack(data: bytes, keys: Iterable[str] | None, node_name: str) -> Chunk | None:
    try:
        return chunk_unpack(data, keys)
    except ChunkDamaged as error:
        log.error("a chunk of history is damaged", node=node_name, reason=str(error))
        return None
