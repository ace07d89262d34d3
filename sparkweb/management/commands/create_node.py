"""`manage.py create_node NAME`: a second machine's key, and what its agent needs to know."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from metrics_app.handover import handover_make
from metrics_app.services import node_create
from sparkweb.accounts.actor import Actor


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
        for line in handover_make(node=name, private_key=private_key).lines():
            self.stdout.write(line)
