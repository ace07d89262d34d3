"""`manage.py build_sandbox_image`"""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metrics_app.models import Node
from metrics_app.selectors import local_node
from sandbox_app.exceptions import ToolRefused
from sandbox_app.image_builds import BASE_DEFAULT, NETWORKS, build_create
from sandbox_app.models_images import BuildState, ImageBuild
from sparkweb.accounts.actor import Actor

LOOK_EVERY_SECONDS = 1.0


class Command(BaseCommand):
    help = "Have a node build the image that tools run in, and show how it goes. SparkWeb must be running."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--node", default="", help="Name of the node; this machine's if left out.")
        parser.add_argument(
            "--base", default="", help=f"A Debian or Ubuntu image; {BASE_DEFAULT} if left out."
        )
        parser.add_argument("--no-data", action="store_true", help="Without numpy, pandas and matplotlib.")
        parser.add_argument("--extra", nargs="*", default=[], help="More Debian packages, like ffmpeg.")
        parser.add_argument("--network", default="default", choices=NETWORKS, help="Where its steps are.")
        parser.add_argument("--no-wait", action="store_true", help="Ask for it and return.")

    def handle(self, *_args: Any, **options: Any) -> None:
        node = Node.objects.filter(name=options["node"]).first() if options["node"] else local_node()
        if node is None:
            raise CommandError(
                f"there is no node {options['node'] or 'for this machine'}; is SparkWeb running?"
            )
        try:
            build, made = build_create(
                node=node,
                actor=Actor(None, "build_sandbox_image", "command"),
                base=options["base"],
                libraries=not options["no_data"],
                extra=options["extra"],
                network=options["network"],
            )
        except ToolRefused as refused:
            raise CommandError(refused.message) from refused
        self.stdout.write(f"{node}: {'asked for' if made else 'under way already'} ({build.uid})")
        if not options["no_wait"]:
            self._follow(build)

    def _follow(self, build: ImageBuild) -> None:
        shown = ""
        while build.live:
            words = f"step {build.step} of {build.steps}: {build.message}" if build.steps else ""
            if words and words != shown:
                self.stdout.write(words)
                shown = words
            time.sleep(LOOK_EVERY_SECONDS)
            build.refresh_from_db()
        if build.state != BuildState.DONE:
            raise CommandError(f"{build.get_state_display().lower()}: {build.reason}\n{build.log}".strip())
        self.stdout.write(f"{build.node_name}: built {build.digest}")
