"""Where the tool audit of each installation ended, as this node was told: the newest is kept.

A head that goes back, or names another entry at the same number, is kept beside it as a rollback:
somebody cut the audit off, or restored an old backup. It is reported until the centre's admin accepts it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import structlog
from celery import shared_task

log = structlog.get_logger(__name__)

INSTALLATIONS_MOST = 16


class AuditHeads:
    """The newest head of each installation, in one file of the agent's folder."""

    def __init__(self, folder: Path, installation: str) -> None:
        self._path = folder / "heads.json"
        self._installation = installation
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._heads = self._read()

    def start(self) -> None:
        """Take the nudges of this process from now on."""
        global _heads
        _heads = self

    def take(self, installation: str, number: int, mac: str, accept: bool = False) -> None:
        """Keep a head if it is newer. One that goes back is a rollback, unless an admin accepted it."""
        with self._lock:
            kept = self._heads.get(installation)
            told = {"number": number, "mac": mac, "at": time.time()}
            if kept is None and len(self._heads) >= INSTALLATIONS_MOST:
                log.warning("audit head of one installation too many", installation=installation)
                return
            if kept is None or accept:
                self._heads[installation] = told | {"rollback": None}
            elif number < kept["number"] or (number == kept["number"] and mac != kept["mac"]):
                if kept["rollback"] is None:
                    log.error("the tool audit was rolled back", kept=kept["number"], told=number)
                    kept["rollback"] = told
                    self._write()
                return
            elif number == kept["number"]:
                return
            else:
                self._heads[installation] = told | {"rollback": kept["rollback"]}
            self._write()

    def section(self) -> dict[str, Any] | None:
        """Return what is kept for our installation: number, mac, at, rollback; None before the first."""
        with self._lock:
            kept = self._heads.get(self._installation)
            return dict(kept) if kept else None

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            heads = json.loads(self._path.read_text())
            return {
                str(name): {"rollback": None}
                | {key: head[key] for key in ("number", "mac", "at", "rollback")}
                for name, head in heads.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("the kept audit heads cannot be read; they begin anew", error=str(error))
            return {}

    def _write(self) -> None:
        draft = self._path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self._heads, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)


_heads: AuditHeads | None = None


@shared_task(name="sandbox.audit_head", ignore_result=True)
def audit_head(installation: str, number: int, mac: str, accept: bool = False) -> None:
    """Keep where an installation's tool audit ends."""
    if _heads is None:
        raise RuntimeError("this process is no agent: AuditHeads.start() was not called")
    _heads.take(installation, number, mac, accept)
