"""An engine that hangs is degraded; where its definition says so, it is started again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models_app.engines.settings_schema import as_boolean
from models_app.models import Launch, LaunchState
from models_app.planning import engine_defaults


def hang_to_mend(launch: Launch, entries: Sequence[dict[str, Any] | None]) -> str:
    """Return why a degraded launch hangs, if its definition wants it started again; "" else.

    The restart goes by the restart policy, with its backoff and its limit of three.
    """
    reason = next((str(entry["hang"]) for entry in entries if entry and entry.get("hang")), "")
    if not reason or launch.state != LaunchState.DEGRADED or launch.definition is None:
        return ""
    settings = engine_defaults(launch.engine) | launch.definition.settings | launch.settings_overlay
    return reason if as_boolean(settings.get("restart_on_hang")) else ""
