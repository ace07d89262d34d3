"""Control's intake, for tests: `python -m tests.link.intake_child REDIS_URL`, database by DATABASE_URL."""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"


def main() -> None:
    import django

    django.setup()
    from sparkweb.node_link import registry
    from sparkweb.node_link.intake import Intake
    from sparkweb.streams import Streams
    from tests.link.noting import noted

    registry.status_listeners.clear()
    registry.report_listeners.clear()
    registry.fact_handler("test.noted")(noted)
    intake = Intake(Streams(sys.argv[1], timeout_seconds=0.5))
    print("runs", flush=True)
    intake.run()


def environment(database: dict[str, Any]) -> dict[str, str]:
    """The environment in which a child uses the test database of its parent."""
    name = str(database["NAME"])
    url = f"sqlite:///{name}"
    if "postgresql" in database["ENGINE"]:
        login = f"{database['USER']}:{database['PASSWORD']}@" if database["USER"] else ""
        place = database["HOST"] if not str(database["HOST"]).startswith("/") else ""
        options = f"?host={database['HOST']}" if not place and database["HOST"] else ""
        port = f":{database['PORT']}" if database["PORT"] else ""
        url = f"postgresql://{login}{place}{port}/{name}{options}"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SPARKWEB_TEST")}
    return {**clean, "DATABASE_URL": url}


if __name__ == "__main__":
    main()
