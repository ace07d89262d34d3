"""How many tools run at once, how long they wait, and what of them is kept: settings of web and control."""

from __future__ import annotations

from sparkweb.config import SANDBOX_RESERVE_MB  # noqa: F401
from sparkweb.env import env_int

SANDBOX_USER_RUNS = env_int(
    "SPARKWEB_SANDBOX_USER_RUNS", 16, "Tool runs of one user at once; more of them wait.", low=1, high=1000
)
SANDBOX_NODE_RUNS = env_int(
    "SPARKWEB_SANDBOX_NODE_RUNS", 24, "Tool runs on one node at once; more of them wait.", low=1, high=1000
)
SANDBOX_QUEUE_RUNS = env_int(
    "SPARKWEB_SANDBOX_QUEUE_RUNS",
    200,
    "Tool runs of one user that may wait; what comes after them gets 429.",
    low=1,
    high=10_000,
)
SANDBOX_QUEUE_SECONDS = env_int(
    "SPARKWEB_SANDBOX_QUEUE_SECONDS",
    300,
    "Seconds after which a waiting tool run is refused.",
    low=5,
    high=86_400,
)
SANDBOX_APPROVAL_MINUTES = env_int(
    "SPARKWEB_SANDBOX_APPROVAL_MINUTES",
    60,
    "Minutes in which somebody must approve a tool run that needs it.",
    low=1,
    high=10_080,
)
RUN_KEEP_DAYS = env_int("SPARKWEB_RUN_KEEP_DAYS", 90, "Days that ended tool runs are kept.", low=1, high=3650)
ARTIFACT_KEEP_DAYS = env_int(
    "SPARKWEB_ARTIFACT_KEEP_DAYS", 30, "Days that files of tool runs are kept.", low=1, high=3650
)
ARTIFACT_RUN_MB = env_int(
    "SPARKWEB_ARTIFACT_RUN_MB",
    256,
    "Megabytes of files that one tool run may leave.",
    low=1,
    high=100_000,
)
ARTIFACTS_MB = env_int(
    "SPARKWEB_ARTIFACTS_MB",
    10_000,
    "Megabytes of files of tool runs that are kept in all; the oldest go.",
    low=1,
    high=10_000_000,
)
