"""`manage.py create_api_key USERNAME --scope read`: prints just the key."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import Scope, User
from sparkweb.accounts.services import api_key_create


class Command(BaseCommand):
    help = "Make an API key for a user and print it, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--scope", action="append", choices=Scope.values, help="May be given several times."
        )
        parser.add_argument("--name", default="", help="What the key is for.")
        parser.add_argument("--days", type=int, help="Days until it ends; never if left out.")

    def handle(self, *_args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['username']!r}.")
        if options["days"] is not None and not 1 <= options["days"] <= 3650:
            raise CommandError(f"--days={options['days']}: must lie between 1 and 3650.")
        try:
            _, text = api_key_create(
                user=user,
                scopes=options["scope"] or [Scope.READ],
                name=options["name"],
                days=options["days"],
                actor=Actor(None, "create_api_key", "command"),
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(text)
