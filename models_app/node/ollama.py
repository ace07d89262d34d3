"""What Ollama says of its models and of a pull, put into a stage's words. Pure.

Source: Ollama, docs/api.md, "Pull a Model"; server/images.go.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

# What another try would not change.
_FINAL = re.compile(
    r"file does not exist|not found|invalid model|unauthorized|access denied|forbidden|no space left"
    r"|newer version|read-only file system|permission denied",
    re.IGNORECASE,
)
_HINTS = (
    (r"file does not exist|not found|invalid model", "Check the model's name and tag."),
    (r"unauthorized|access denied|forbidden", "The model is not public."),
    (r"no space left", "Free space in the node's Ollama folder."),
    (r"newer version", "Choose a newer Ollama image."),
    (r"read-only|permission denied", "The container must be able to write to the node's Ollama folder."),
)


def names_listed(body: bytes) -> list[str] | None:
    """The model names in an answer of /api/tags; None if it is something else."""
    try:
        return [str(model["name"]) for model in json.loads(body)["models"]]
    except (ValueError, KeyError, TypeError):
        return None


def is_listed(model: str, names: list[str]) -> bool:
    """Whether a model is among names; without a tag, `latest` is meant, and case does not count."""
    return _full_name(model) in {_full_name(name) for name in names}


def _full_name(name: str) -> str:
    tagged = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    return tagged.casefold()


def is_final(error: str) -> bool:
    """Whether trying again is useless."""
    return bool(_FINAL.search(error))


def failure_sentence(model: str, error: str) -> str:
    """Why the model is not there, and what to do."""
    found = (hint for pattern, hint in _HINTS if re.search(pattern, error, re.IGNORECASE))
    hint = next(found, "Check that this node reaches the model's registry, then start it again.")
    return f"Ollama could not pull {model}: {error.strip().rstrip('.')[:500]}. {hint}"


@dataclass
class PullState:
    """How far a pull is. Bytes are summed over the layers named so far; the weights come first."""

    model: str
    error: str = ""
    finished: bool = False
    _words: str = "Asking for the model"
    _layers: dict[str, tuple[int, int]] = field(default_factory=dict)

    def begin(self) -> None:
        """A new try: what was downloaded counts on, its error does not."""
        self.error, self.finished = "", False

    def feed(self, message: dict[str, Any]) -> None:
        """Take over one line of Ollama's answer."""
        if "error" in message:
            self.error = str(message["error"]) or "it gave no reason"
            return
        status, digest, total = (message.get(key) for key in ("status", "digest", "total"))
        if isinstance(digest, str) and isinstance(total, int) and total > 0:
            done = message.get("completed")
            known = self._layers.get(digest, (0, 0))[0]
            self._layers[digest] = (max(known, done) if isinstance(done, int) else known, total)
        self.finished = status == "success"
        self._words = _words(str(status or ""), self.model)

    @property
    def done_bytes(self) -> int | None:
        return sum(done for done, _ in self._layers.values()) if self._layers else None

    def stage(self) -> dict[str, Any]:
        """The report's `stage`; total_bytes is null until Ollama named a layer."""
        total = sum(total for _, total in self._layers.values()) if self._layers else None
        return {
            "name": "download",
            "done_bytes": self.done_bytes,
            "total_bytes": total,
            "message": self._words,
        }


def _words(status: str, model: str) -> str:
    if status == "success":
        return f"{model} is downloaded"
    if status.startswith("verifying"):
        return f"Checking the download of {model}"
    if status.startswith(("writing", "removing")):
        return f"Storing {model}"
    return f"Downloading {model}"
