"""Logs of every process: one line per event, level changeable while it runs.

No Django here: the supervisor and the agent use it too. Lines go to standard
error; who starts the process decides which file that is.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from sparkweb import config

LEVELS = ("debug", "info", "warning", "error")
SECRET_WORDS = re.compile(
    r"password|passwd|secret|token|api_?key|private_?key|authorization|cookie", re.IGNORECASE
)
BEARER = re.compile(r"(?i)\b(bearer\s+|sw_)[A-Za-z0-9._~+/=-]{8,}")
URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*):[^\s@/]+@")
# Libraries that tell at info what only their own debugging needs.
QUIET = (
    "kombu",
    "amqp",
    "asyncio",
    "docker",
    "urllib3",
    "websockets",
    "uvicorn.access",
    "channels_redis",
    "axes",
)


def secrets_hide(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Replace values under telling names, bearer keys and passwords in addresses by `***`."""
    for name, value in event.items():
        if name != "event" and SECRET_WORDS.search(name):
            event[name] = "***"
        elif isinstance(value, str):
            event[name] = URL_PASSWORD.sub(r"\1:***@", BEARER.sub(r"\1***", value))
    return event


_shared: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


class _Handler(logging.StreamHandler):
    """Ours among the root logger's handlers; tests and libraries may have theirs."""


def logs_setup(process: str = "", *, level: str | None = None, as_json: bool | None = None) -> None:
    """Send structlog's and the standard library's records to standard error, alike in every process.

    `process` stands in each line. Level and form come from SPARKWEB_LOG_LEVEL and
    SPARKWEB_LOG_JSON unless given. Calling it again replaces what it set before.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Handler(sys.stderr)
    handler.setFormatter(_formatter(config.LOG_JSON if as_json is None else as_json))
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if not isinstance(one, _Handler)] + [handler]
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.contextvars.clear_contextvars()
    if process:
        structlog.contextvars.bind_contextvars(process=process)
    level_set(level or config.LOG_LEVEL)


def level_set(level: str) -> None:
    """Change how much this process logs from now on. Raises ValueError for a level that does not exist."""
    if level not in LEVELS:
        raise ValueError(f"level={level!r}: must be one of {', '.join(LEVELS)}")
    logging.getLogger().setLevel(level.upper())


def level_get() -> str:
    """Return the level of this process: debug, info, warning or error."""
    return logging.getLevelName(logging.getLogger().level).lower()


def _formatter(as_json: bool) -> logging.Formatter:
    if as_json:
        render: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Plain: where rich is installed the default shows local variables, secrets among them.
        plain = structlog.dev.plain_traceback
        render = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, secrets_hide, *render],
    )
