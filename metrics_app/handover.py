"""What an owner carries to a second machine once: key, Redis user, settings (docs/second-node.md)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings

from sparkweb import config
from sparkweb.installation import installation_read
from sparkweb.node_link.acl import agent_acl


@dataclass(frozen=True)
class Handover:
    """Key and settings of one agent.

    `redis_rule` is for redis-cli; `redis_is_shared` says whether other machines reach our Redis.
    """

    node: str
    private_key: str = field(repr=False)
    redis_rule: str = field(repr=False)
    redis_url: str = field(repr=False)
    redis_is_shared: bool
    web_url: str
    installation: str

    def lines(self) -> list[str]:
        """All of it as text, for a terminal."""
        hint = "" if self.redis_is_shared else "   # our REDIS_URL is private now; give both machines one"
        return [
            f"# Key of {self.node}: put it into a file of mode 0600 on that machine. It is shown only now.",
            self.private_key,
            "",
            "# A Redis user with this node's rights alone (Redis 7 or later): paste the line into redis-cli.",
            self.redis_rule,
            "",
            "# Settings of its agent (manage.py agent); docs/second-node.md tells the rest:",
            f"SPARKWEB_NODE={self.node}",
            "SPARKWEB_NODE_KEY_FILE=<path of that file>",
            f"REDIS_URL={self.redis_url}{hint}",
            f"SPARKWEB_WEB_URL={self.web_url}",
            f"SPARKWEB_INSTALLATION={self.installation}",
        ]


def handover_make(*, node: str, private_key: str) -> Handover:
    """Return what the agent of `node` needs, with a Redis password made now and kept nowhere."""
    user, password = f"agent-{node}", secrets.token_urlsafe(24)
    parts = urlsplit(settings.REDIS_URL)
    shared = parts.scheme != "unix"
    place = parts.netloc.rpartition("@")[2] if shared else "ADDRESS:6379"
    scheme, path = (parts.scheme, parts.path) if shared else ("redis", "/0")
    return Handover(
        node=node,
        private_key=private_key.strip(),
        redis_rule=" ".join(["ACL SETUSER", user, "on", f">{password}", *agent_acl(node)]),
        redis_url=urlunsplit((scheme, f"{user}:{password}@{place}", path, parts.query if shared else "", "")),
        redis_is_shared=shared,
        web_url=config.WEB_URL,
        installation=config.INSTALLATION or installation_read(settings.DATA_DIR),
    )
