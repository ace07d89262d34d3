"""An agent's journal and sender, for tests: `python -m tests.link.agent_child JOURNAL KEY NODE REDIS_URL`.

It adds a numbered fact every few milliseconds, and says each number once it is in the journal.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from sparkweb.node_link.journal import Journal
from sparkweb.node_link.sender import JournalSender
from sparkweb.node_link.signatures import Signer
from sparkweb.streams import Streams


def main() -> None:
    journal = Journal(Path(sys.argv[1]))
    signer = Signer.load(Path(sys.argv[2]), sys.argv[3])
    JournalSender(journal, Streams(sys.argv[4], timeout_seconds=0.5), signer).start()
    while True:
        number = journal.last_sequence + 1
        assert journal.add("test.noted", {"n": number}) == number
        print(number, flush=True)
        time.sleep(0.015)


if __name__ == "__main__":
    main()
