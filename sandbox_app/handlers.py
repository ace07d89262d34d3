"""Where sandbox_app joins others: facts and report sections at the intake."""

from __future__ import annotations


def register() -> None:
    """Called once, when Django is ready."""
