"""What tests of workspaces need of the host: root and loop devices, and nothing left afterwards."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from sandbox_app.node import mounts


def workspaces_require(folder: Path) -> None:
    """Skip where images cannot be mounted; a failure under CI."""
    if reason := mounts.why_not(folder):
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(f"workspaces cannot be mounted: {reason}")
        pytest.skip(reason)


def workspaces_closed(folder: Path) -> None:
    """Unmount whatever a test left in the folder of workspaces."""
    for target in mounts.mounts_below(folder / "mnt"):
        with contextlib.suppress(mounts.MountFailed):
            mounts.unmount(target)
