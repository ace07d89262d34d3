"""Which keys and commands of Redis an agent needs: its own, and nothing else.

An owner who runs agents on other machines gives each a Redis user:

    ACL SETUSER agent-spark-2 on >PASSWORD <the words of agent_acl("spark-2")>

With it an agent can read its own queue and acknowledgement and write its own streams. It
reaches no other node's keys, neither the queues of control nor the channel layer, and no
administrative command. EVALSHA and SCRIPT LOAD are there for the lock that kombu takes
around its unacked index; Redis checks keys and commands inside scripts against the same rules.
Such a Redis should also bound what one client may send: `proto-max-bulk-len 1mb` and
`client-query-buffer-limit 4mb`. Needs Redis 7 or later.
"""

from __future__ import annotations

from typing import Any

from sparkweb.celery_common import celery_settings
from sparkweb.node_link.signatures import NODE_NAME
from sparkweb.streams import KEY_PREFIX

# Redis 7.0 knows no `client|setinfo`; where it does, the refusal is harmless.
COMMANDS = (
    # connection
    "auth", "hello", "ping", "select", "client|setname",
    # streams, acknowledgement
    "xadd", "xtrim", "xinfo|stream", "expire", "mget",
    # kombu: the queue
    "brpop", "llen", "lpush", "rpush", "sadd", "smembers",
    # kombu: what was taken and not acknowledged yet, and the lock around its index
    "zadd", "zrem", "zrange", "hset", "hget", "hdel", "multi", "exec", "watch", "unwatch",
    "set", "get", "del", "pexpire", "evalsha", "script|load",
)  # fmt: skip


def queue_name(node_name: str) -> str:
    """Return the Celery queue of a node. Raises ValueError for what is no node name."""
    if not NODE_NAME.fullmatch(node_name):
        raise ValueError(f"{node_name!r} is no node name: lower-case letters, digits, hyphens, at most 40")
    return f"node.{node_name}"


def agent_transport_options(node_name: str) -> dict[str, Any]:
    """Return kombu's transport options for a node's agent: unacked keys of its own, one priority.

    With shared unacked keys one node would put another's commands back into a queue, and
    could read them all.
    """
    queue_name(node_name)
    common: Any = celery_settings("")["broker_transport_options"]
    return {
        **common,
        "unacked_key": f"unacked.{node_name}",
        "unacked_index_key": f"unacked_index.{node_name}",
        "unacked_mutex_key": f"unacked_mutex.{node_name}",
        "priority_steps": [0],
    }


def agent_acl(node_name: str) -> list[str]:
    """Return the rules, words of ACL SETUSER, of the Redis user of a node's agent.

    They begin with a reset of keys, channels and commands; password and `on` are the caller's.
    """
    queue, options = queue_name(node_name), agent_transport_options(node_name)
    keys = [
        f"report:{node_name}",
        f"from:{node_name}",
        f"log:{node_name}:*",
        f"tool:{node_name}:*",
        queue,
        f"_kombu.binding.{queue}",
        f"_kombu.binding_permanent.{queue}",
        *(options[name] for name in ("unacked_key", "unacked_index_key", "unacked_mutex_key")),
    ]
    return [
        "resetkeys",
        "resetchannels",
        "-@all",
        *(f"~{KEY_PREFIX}{key}" for key in keys),
        f"%R~{KEY_PREFIX}ack:{node_name}",
        *(f"+{command}" for command in COMMANDS),
    ]
