"""How long a start may stand still, and how much of a log is kept: settings of web and control."""

from __future__ import annotations

from sparkweb.env import env_int

# Seconds; by the stages of models_app/stage_clock.py.
STAGE_LIMIT_SECONDS = {
    "pull": 60
    * env_int(
        "SPARKWEB_LIMIT_PULL_MINUTES",
        30,
        "Minutes without progress after which the pull of an image is given up.",
        low=1,
        high=10080,
    ),
    "create": 60
    * env_int(
        "SPARKWEB_LIMIT_CREATE_MINUTES",
        10,
        "Minutes without progress after which the making of a container is given up.",
        low=1,
        high=10080,
    ),
    "download": 60
    * env_int(
        "SPARKWEB_LIMIT_DOWNLOAD_MINUTES",
        30,
        "Minutes without a byte after which the download of a model is given up.",
        low=1,
        high=10080,
    ),
    "load": 60
    * env_int(
        "SPARKWEB_LIMIT_LOAD_MINUTES",
        60,
        "Minutes without a milestone in the log after which a model that loads is given up.",
        low=1,
        high=10080,
    ),
    "compile": 60
    * env_int(
        "SPARKWEB_LIMIT_COMPILE_MINUTES",
        60,
        "Minutes without a milestone in the log after which a model that is compiled is given up.",
        low=1,
        high=10080,
    ),
    "warmup": 60
    * env_int(
        "SPARKWEB_LIMIT_WARMUP_MINUTES",
        30,
        "Minutes without a milestone in the log after which a model that warms up is given up.",
        low=1,
        high=10080,
    ),
}
LOG_KEEP_MB = env_int(
    "SPARKWEB_LOG_KEEP_MB",
    2000,
    "Megabytes of compressed logs of containers that are kept in all; the oldest go.",
    low=1,
    high=10_000_000,
)
LOG_CONTAINER_MB = env_int(
    "SPARKWEB_LOG_CONTAINER_MB",
    100,
    "Megabytes of compressed log that are kept of one container: its beginning, and its newest.",
    low=1,
    high=1_000_000,
)
