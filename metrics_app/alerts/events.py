"""Events that rules may be about. Apps add theirs in `ready()`."""

from __future__ import annotations

EVENTS: dict[str, str] = {"node_offline": "A node is offline"}
"""Name and what happened, for forms."""
