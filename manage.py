#!/usr/bin/env python
"""SparkWeb's commands: `up` and `agent` without Django, everything else by Django."""

from __future__ import annotations

import os
import sys

from sparkweb.env import EnvironmentInvalid

PLAIN = {"up": "sparkweb.supervisor", "agent": "sparkweb.agent"}


def main() -> int:
    """Run one command and return its exit status."""
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command in PLAIN:
        return _plain(command, sys.argv[2:])
    if command == "import_transcripts" and _nothing_new(sys.argv[2:]):
        return 0
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkweb.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
    return 0


def _nothing_new(arguments: list[str]) -> bool:
    """Whether an import has nothing to do, told without starting Django."""
    from transcripts_app.importing.quick import answered

    said = answered(arguments)
    if said:
        print(said)
    return said is not None


def _plain(command: str, arguments: list[str]) -> int:
    from importlib import import_module

    module = import_module(PLAIN[command])
    if arguments:
        wants_help = arguments[0] in ("-h", "--help")
        print(
            module.__doc__ if wants_help else f"manage.py {command} takes no arguments; see docs/settings.md"
        )
        return 0 if wants_help else 2
    return int(module.main() or 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EnvironmentInvalid as error:
        print(f"SparkWeb cannot start: {error}", file=sys.stderr)
        sys.exit(2)
