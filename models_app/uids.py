"""Names of rows in labels and addresses."""

from __future__ import annotations

import secrets


def uid_make() -> str:
    """Return 16 random hex digits: the name of a launch or member in labels and addresses."""
    return secrets.token_hex(8)
