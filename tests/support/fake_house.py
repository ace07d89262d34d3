"""`up` with services of the test's choice: `python -m tests.support.fake_house CONFIG.json`.

The supervisor and its Redis are the real ones; what they run is given:
{"data_dir": …, "port": …, "host": …, "redis_url": null, "prepare": [argv], "prepared_for": null,
 "services": {name: [argv]}}
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from sparkweb.private_redis import RedisUnavailable
from sparkweb.process_output import Terminal
from sparkweb.supervisor import CannotStart, House, run

if __name__ == "__main__":
    told = json.loads(Path(sys.argv[1]).read_text())
    house = House(
        data_dir=Path(told["data_dir"]),
        host=told["host"],
        port=told["port"],
        redis_url=told["redis_url"],
        prepare=told["prepare"],
        services=told["services"],
        prepared_for=lambda: told["prepared_for"],
    )
    try:
        sys.exit(run(house, os.environ, Terminal()))
    except (CannotStart, RedisUnavailable) as error:
        print(f"SparkWeb cannot start: {error}", file=sys.stderr)
        sys.exit(1)
