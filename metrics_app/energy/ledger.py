"""Control's ledger of energy: readings in, one row for each day, node and model out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import date
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from metrics_app.energy.meter import NodeMeter, Share
from metrics_app.history.figures import Figures, key_subject
from metrics_app.models_energy import EnergyDay

FLUSH_EVERY_SECONDS = 60.0
TokenSource = Callable[[str, dict[str, Any]], dict[str, tuple[float, float]]]
TOKEN_SOURCES: list[TokenSource] = []
"""Each gives new prompt and generated tokens by model since it was asked last; apps add theirs."""
HELD = "model_gpu_memory_bytes|"


class EnergyLedger:
    """One in control. `take` from the intake's thread, `flush` from any."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._meters: dict[str, NodeMeter] = {}
        self._waiting: dict[tuple[date, str, str], Share] = {}
        self._flushed_at = clock()

    def take(self, node_name: str, report: dict[str, Any], figures: Figures) -> bool:
        """Take one report; returns whether it is time to flush."""
        now = self._clock()
        held = {key_subject(key): value for key, value in figures.items() if key.startswith(HELD)}
        tokens: dict[str, tuple[float, float]] = {}
        for source in TOKEN_SOURCES:
            tokens |= source(node_name, report)
        gpus = report.get("gpus")
        rows = [gpu for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else []
        day = timezone.localdate()
        with self._lock:
            meter = self._meters.setdefault(node_name, NodeMeter())
            for slug, share in meter.step(rows, held, tokens, now).items():
                self._waiting.setdefault((day, node_name, slug), Share()).add(share)
            return now - self._flushed_at >= FLUSH_EVERY_SECONDS

    def flush(self) -> int:
        """Write what waits; returns how many rows. Raises DatabaseError, and keeps what is not written."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._flushed_at = self._clock()
        try:
            with transaction.atomic():
                for (day, node_name, slug), share in waiting.items():
                    _write(day, node_name, slug, share)
        except Exception:
            with self._lock:
                for place, share in waiting.items():
                    self._waiting.setdefault(place, Share()).add(share)
            raise
        return len(waiting)


def _write(day: date, node_name: str, slug: str, share: Share) -> None:
    row, _ = EnergyDay.objects.get_or_create(day=day, node_name=node_name[:40], model=slug[:80])
    EnergyDay.objects.filter(pk=row.pk).update(
        joules=F("joules") + share.joules,
        seconds=F("seconds") + share.seconds,
        prompt_tokens=F("prompt_tokens") + share.prompt_tokens,
        generation_tokens=F("generation_tokens") + share.generation_tokens,
        **({"estimated": True} if share.estimated else {}),
    )


LEDGER = EnergyLedger()
