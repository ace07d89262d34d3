"""Why an area of the node could not be looked at, in words. Pure."""

from __future__ import annotations

from sparkweb.adapters.docker_errors import DockerTrouble, EngineUnavailable


def error_words(error: Exception) -> tuple[str, str]:
    """Status (missing, denied, error) and a sentence."""
    if isinstance(error, EngineUnavailable):
        return {"docker_missing": "missing", "docker_denied": "denied"}.get(error.code, "error"), str(error)
    if isinstance(error, DockerTrouble):
        return "error", str(error)
    if isinstance(error, PermissionError):
        return "denied", f"The agent's user may not read {error.filename}."
    return "error", f"It could not be looked at: {error}"
