"""`manage.py web`: pages, API and sockets."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import uvloop
from django.conf import settings
from django.core.checks import ERROR
from django.core.management.base import BaseCommand, CommandError

from sparkweb import checks, config, logs
from sparkweb.web_server import PortTaken, listen, server_make


class Command(BaseCommand):
    help = "Serve pages, API and sockets on SPARKWEB_HOST:SPARKWEB_PORT, and on SPARKWEB_COMPAT_PORTS."

    def handle(self, *_args: Any, **_options: Any) -> None:
        logs.logs_setup("web")
        self._check()
        ports = [config.PORT, *(int(word) for word in settings.COMPAT_PORTS)]
        try:
            sockets = listen(config.HOST, list(dict.fromkeys(ports)))
        except PortTaken as error:
            raise CommandError(str(error)) from None
        # Whitenoise hands files over as plain iterators; Django reads them, as it should, and warns.
        warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
        from sparkweb.asgi import application

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server_make(application).serve_and_exit(sockets))

    def _check(self) -> None:
        for message in checks.web_checks():
            if message.level >= ERROR:
                raise CommandError(f"{message.msg} {message.hint}")
            self.stderr.write(self.style.WARNING(f"{message.msg} {message.hint}"))
