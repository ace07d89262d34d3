"""The sampler on a machine of which one disk does not answer: statvfs of the first mount never returns.

A dead NFS server or disk does that in the kernel; here the call waits in Python, which the sampler
cannot tell apart. Started as the sampler is: `python -m bench.sick_sampler [--gpus JSON]`.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from metrics_app import sampler

_statvfs = os.statvfs
_first: list[str] = []


def _stuck(path: Any) -> os.statvfs_result:
    if not _first:
        _first.append(str(path))
    if str(path) == _first[0]:
        threading.Event().wait()
    return _statvfs(path)


if __name__ == "__main__":
    os.statvfs = _stuck  # type: ignore[assignment]
    sys.exit(sampler.main())
