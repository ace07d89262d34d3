"""Settings that every process shares, Django or not.

The supervisor and the agent read these without loading Django;
sparkweb/settings.py takes them from here.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from sparkweb.env import (
    EnvironmentInvalid,
    env_bool,
    env_choice,
    env_int,
    env_list,
    env_optional_path,
    env_path,
    env_str,
    env_url,
)
from sparkweb.installation import redis_socket

BASE_DIR = Path(__file__).resolve().parent.parent


def _default_node_name() -> str:
    short = socket.gethostname().split(".")[0].lower()
    return re.sub(r"[^a-z0-9-]+", "-", short).strip("-")[:40] or "node"


DATA_DIR = env_path(
    "SPARKWEB_DATA_DIR",
    Path.home() / ".local" / "share" / "sparkweb",
    "Folder of the database, logs, artifacts, keys and the private Redis.",
    shown="~/.local/share/sparkweb",
)
HOST = env_str("SPARKWEB_HOST", "127.0.0.1", "Address that the web process listens on.")
PORT = env_int("SPARKWEB_PORT", 5173, "Port that the web process listens on.", low=1, high=65535)
NODE_NAME = env_str("SPARKWEB_NODE", _default_node_name(), "Name of this node.", shown="the short host name")
REDIS_URL = env_url(
    "REDIS_URL",
    f"unix://{redis_socket(DATA_DIR)}",
    "Redis that all processes and nodes share; without it `up` runs a private one on a Unix socket.",
    ("redis", "rediss", "unix"),
    secret=True,
    shown="unix://<data folder>/run/redis.sock",
)
WEB_URL = env_url(
    "SPARKWEB_WEB_URL",
    f"http://{HOST}:{PORT}",
    "Where an agent finds the web process, for bytes too large for Redis.",
    ("http", "https"),
    shown="http://<SPARKWEB_HOST>:<SPARKWEB_PORT>",
)
NODE_KEY_FILE = env_path(
    "SPARKWEB_NODE_KEY_FILE",
    DATA_DIR / "agent" / NODE_NAME / "node.key",
    "File with this node's private key, mode 0600.",
    shown="<data folder>/agent/<node>/node.key",
)
DOCKER_HOST = env_str(
    "DOCKER_HOST", "unix:///var/run/docker.sock", "Docker engine of this node; Podman's socket works too."
)
HF_CACHE = env_path(
    "SPARKWEB_HF_CACHE",
    Path.home() / ".cache" / "huggingface",
    "Hugging Face cache on the node, mounted into engines.",
    shown="~/.cache/huggingface",
)
OLLAMA_MODELS = env_path(
    "SPARKWEB_OLLAMA_MODELS",
    Path.home() / ".ollama",
    "Folder of Ollama's models on the node, mounted into its containers.",
    shown="~/.ollama",
)
NIM_CACHE = env_path(
    "SPARKWEB_NIM_CACHE",
    Path.home() / ".cache" / "nim",
    "Cache of NVIDIA NIMs on the node, mounted into their containers.",
    shown="~/.cache/nim",
)
OLLAMA_URL = env_url(
    "SPARKWEB_OLLAMA_URL",
    "http://127.0.0.1:11434",
    "Ollama server of the node itself, asked for its models and used for pulls when no launch serves one.",
    ("http",),
)
HF_ENDPOINT = env_url(
    "HF_ENDPOINT",
    "https://huggingface.co",
    "Hugging Face hub, or a mirror of it, that this node downloads weights from.",
    ("http", "https"),
)
DISK_RESERVE_GB = env_int(
    "SPARKWEB_DISK_RESERVE_GB",
    10,
    "Disk space (GiB) that downloads and image pulls must leave free.",
    low=0,
    high=10_000,
)
LOG_SPOOL_MB = env_int(
    "SPARKWEB_LOG_SPOOL_MB",
    256,
    "Megabytes of compressed logs that a node holds while web does not take them.",
    low=1,
    high=1_000_000,
)
INSTALLATION = env_str(
    "SPARKWEB_INSTALLATION",
    "",
    "Owner label of our containers, 8 hex digits; read from the data folder if unset. "
    "A second node's agent gets the first one's.",
)
SECRETS_DIR = env_path(
    "SPARKWEB_SECRETS_DIR",
    DATA_DIR / "secrets",
    "Folder of secret files on the node (hf_token, ngc_api_key) that enter containers as files.",
    shown="<data folder>/secrets",
)
SCRIPTS_DIR = env_optional_path(
    "SPARKWEB_SCRIPTS_DIR",
    "Folder on the node whose folders' serve.sh may be run (engine script); off if empty.",
)
SANDBOX_IMAGE = env_str(
    "SPARKWEB_SANDBOX_IMAGE",
    "sparkweb-sandbox:1",
    "Image that tools run in, unless their TOOL.md names another.",
)
SANDBOX_POOL = env_int(
    "SPARKWEB_SANDBOX_POOL",
    2,
    "How many containers wait ready for each tool, with a plain Python in them. 0: none.",
    low=0,
    high=64,
)
SANDBOX_DATA_POOL = env_int(
    "SPARKWEB_SANDBOX_DATA_POOL",
    2,
    "The same for tools that want numpy and pandas imported.",
    low=0,
    high=64,
)
SANDBOX_RESERVE_MB = env_int(
    "SPARKWEB_SANDBOX_RESERVE_MB",
    1024,
    "Available memory (MiB) that the sandbox leaves: below it no tool begins, and no container waits.",
    low=0,
    high=1_048_576,
)
GUARDIAN = env_bool(
    "SPARKWEB_GUARDIAN", True, "Run the memory guardian on this node (docs/memory-guardian.md)."
)
GUARDIAN_FLOOR_MB = env_int(
    "SPARKWEB_GUARDIAN_FLOOR_MB",
    0,
    "Available memory (MiB) below which starts, sandbox and downloads are ended. "
    "0: 2.5 % of the node's memory, from 256 MiB to 3 GiB.",
    low=0,
    high=1_048_576,
)
GUARDIAN_LOWER_FLOOR_MB = env_int(
    "SPARKWEB_GUARDIAN_LOWER_FLOOR_MB",
    0,
    "Available memory (MiB) below which ready models are ended too. 0: half the floor.",
    low=0,
    high=1_048_576,
)
GUARDIAN_HORIZON_SECONDS = env_int(
    "SPARKWEB_GUARDIAN_HORIZON_SECONDS",
    3,
    "The guardian acts early when memory falls so fast that the lower floor is this near. 0: never early.",
    low=0,
    high=60,
)
GUARDIAN_PROTECT_READY = env_bool(
    "SPARKWEB_GUARDIAN_PROTECT_READY", False, "Never end a ready model for want of memory: only tell."
)
EGRESS_PORTS = env_list(
    "SPARKWEB_EGRESS_PORTS", ["80", "443"], "Ports that fetches for models may go to (docs/web-search.md)."
)
EGRESS_ALLOW = env_list(
    "SPARKWEB_EGRESS_ALLOW",
    [],
    "Hosts that fetches for models may reach, and no others: docs.python.org,*.wikipedia.org. "
    "Empty: all public ones.",
)
EGRESS_DENY = env_list(
    "SPARKWEB_EGRESS_DENY",
    [],
    "Hosts and networks that fetches for models may not reach, whatever else is set.",
)
EGRESS_NETWORKS = env_list(
    "SPARKWEB_EGRESS_NETWORKS",
    [],
    "Private networks, like 192.168.1.20/32, that fetches for models may reach all the same.",
)
SEARXNG_URL = env_url(
    "SEARXNG_URL",
    "http://127.0.0.1:8080",
    "SearXNG that web_search asks, seen from the node (docs/web-search.md).",
    ("http", "https"),
)
SEARXNG_IMAGE = env_str(
    "SPARKWEB_SEARXNG_IMAGE",
    "docker.io/searxng/searxng:latest",
    "Image of the SearXNG that is started on the page Services.",
)
TRANSCRIPTS = [
    Path(word).expanduser()
    for word in env_list(
        "SPARKWEB_TRANSCRIPTS",
        ["~/.claude/projects"],
        "Folders of Claude Code's transcripts that this node reads (docs/transcripts.md); none: `none`.",
    )
    if word != "none"
]
HANG_SECONDS = env_int(
    "SPARKWEB_HANG_SECONDS",
    60,
    "How long an engine with requests may show no progress before it is asked for one token; 0 never asks.",
    low=0,
    high=3600,
)
LOG_LEVEL = env_choice(
    "SPARKWEB_LOG_LEVEL", "info", "How much is logged.", ("debug", "info", "warning", "error")
)
LOG_JSON = env_bool("SPARKWEB_LOG_JSON", False, "Write logs as JSON lines instead of text.")

if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", NODE_NAME):
    raise EnvironmentInvalid(
        f"SPARKWEB_NODE={NODE_NAME!r}: must be lower-case letters, digits and hyphens, at most 40"
    )
if INSTALLATION and not re.fullmatch(r"[0-9a-f]{8}", INSTALLATION):
    raise EnvironmentInvalid(f"SPARKWEB_INSTALLATION={INSTALLATION!r}: must be 8 hex digits")


def broker_url(redis_url: str) -> str:
    """Celery's spelling of a Redis URL: Unix sockets are `redis+socket://` there."""
    if redis_url.startswith("unix://"):
        return "redis+socket://" + redis_url.removeprefix("unix://")
    return redis_url


__all__ = [name for name in globals() if name.isupper()] + ["broker_url", "env_list"]

DEBUG = env_bool("SPARKWEB_DEBUG", False, "Show tracebacks in the browser. Never on a machine others reach.")
FAILPOINT = env_str(
    "SPARKWEB_FAILPOINT",
    "",
    "For tests of SparkWeb itself: where a process dies. Refused without SPARKWEB_DEBUG.",
)
if FAILPOINT and not DEBUG:
    raise EnvironmentInvalid(
        f"SPARKWEB_FAILPOINT={FAILPOINT!r}: it ends processes, for tests alone; unset it"
    )
