"""`manage.py create_node NAME`: a second machine's key, and what its agent needs to know."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from metrics_app.services import node_create
from sparkweb import config
from sparkweb.accounts.actor import Actor
from sparkweb.installation import installation_read
from sparkweb.node_link.acl import agent_acl


class Command(BaseCommand):
    help = "Add a node (or give it a new key) and print its key and settings, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="The agent's SPARKWEB_NODE: lower-case letters, digits, hyphens.")

    def handle(self, *_args: Any, **options: Any) -> None:
        name = options["name"]
        try:
            _, private_key = node_create(name=name, actor=Actor(None, "create_node", "command"))
        except ValidationError as error:
            raise CommandError(f"{name!r}: {' '.join(error.messages)}") from None
        for line in node_instructions(name, private_key):
            self.stdout.write(line)


def node_instructions(name: str, private_key: str) -> list[str]:
    """Return the lines that an owner carries to the second machine, and one for Redis."""
    user, password = f"agent-{name}", secrets.token_urlsafe(24)
    return [
        f"# Key of {name}: put it into a file of mode 0600 on that machine. It is shown only now.",
        private_key.strip(),
        "",
        "# A Redis user with this node's rights alone (Redis 7 or later): paste the line into redis-cli.",
        " ".join(["ACL SETUSER", user, "on", f">{password}", *agent_acl(name)]),
        "",
        "# Settings of its agent (manage.py agent); docs/second-node.md tells the rest:",
        f"SPARKWEB_NODE={name}",
        "SPARKWEB_NODE_KEY_FILE=<path of that file>",
        f"REDIS_URL={_redis_url_as(user, password)}",
        f"SPARKWEB_WEB_URL={config.WEB_URL}",
        f"SPARKWEB_INSTALLATION={config.INSTALLATION or installation_read(config.DATA_DIR)}",
    ]


def _redis_url_as(user: str, password: str) -> str:
    """The address of our Redis for another user; never with our own password in it."""
    parts = urlsplit(settings.REDIS_URL)
    if parts.scheme == "unix":
        return (
            f"redis://{user}:{password}@<address of this machine>:6379/0"
            "   # REDIS_URL is private now; give both machines one"
        )
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}"))
