"""`manage.py create_node NAME`: a second machine's key, and what its agent needs to know."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from metrics_app.services import node_create
from sparkweb import config
from sparkweb.accounts.actor import Actor
from sparkweb.installation import installation_read


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
    """Return the lines that an owner carries to the second machine."""
    redis_url = settings.REDIS_URL
    if redis_url.startswith("unix:"):
        redis_url = (
            "redis://<address of this machine>:6379/0   # REDIS_URL is private now; give both machines one"
        )
    return [
        f"# Key of {name}: put it into a file of mode 0600 on that machine. It is shown only now.",
        private_key.strip(),
        "",
        "# Settings of its agent (manage.py agent):",
        f"SPARKWEB_NODE={name}",
        "SPARKWEB_NODE_KEY_FILE=<path of that file>",
        f"REDIS_URL={redis_url}",
        f"SPARKWEB_WEB_URL={config.WEB_URL}",
        f"SPARKWEB_INSTALLATION={config.INSTALLATION or installation_read(config.DATA_DIR)}",
    ]
