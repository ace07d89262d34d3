"""A corpus of Claude Code transcripts whose truth is known, shaped like real ones, by seed.

    python -m bench.transcript_corpus FOLDER --megabytes 500 --seed 1

The shape is that of 188 real sessions (docs/transcripts-archive.md, "Size" and "Streaming"): lines per
response, repeated uuids, what share of the bytes is what. Everything that makes figures go wrong is in it:
answers told by several lines, growing and in snapshots; forks, resumes that end another file's answer, one
session id in two folders; sub-agents in three layouts; usage repeated where it does not count; warm-ups,
synthetic answers, failed calls, compactions, rewinds, titles in other files, records of no known type.

What is true of it is counted while it is written (corpus_truth.py) and lies beside the folder: FOLDER
with `.truth.json` and, a line for each response, `.responses.jsonl`. The same seed makes the same bytes.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.corpus_session import House, Scribe, said
from bench.corpus_story import BEGIN_MS, DAYS, PROJECTS, Story
from bench.corpus_text import Text
from bench.corpus_tools import call_make
from bench.corpus_truth import Truth

MB = 1_000_000
LINE_BYTES = 4_500  # of one record of a session's own file, sub-agents and all
POOL_MOST = 6_000_000
BAD = (
    b'{"type":"user","uuid":"0b\n', b"not a record\n", b"[1, 2]\n", b'"words"\n', b"\0\0\0\0\n",
    b'{"type":"assistant","message":{"content":"cut',
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bad-lines", type=int, default=0, help="lines that are no records, and blank ones")
    options = parser.parse_args()
    begun = time.perf_counter()
    truth = corpus_make(options.folder, options.megabytes, options.seed, bad_lines=options.bad_lines)
    seconds = time.perf_counter() - begun
    size = truth.bytes / MB
    print(
        f"{size:.1f} MB in {truth.files} files, {truth.lines} lines, {len(truth.sessions)} sessions, "
        f"{truth.responses} responses; {seconds:.1f} s, {size / seconds:.0f} MB/s"
    )


def corpus_make(folder: Path, megabytes: float, seed: int, *, bad_lines: int = 0) -> Truth:
    """Write about so many megabytes (10^6 bytes) of transcripts below a folder, and their truth beside it."""
    with _house(folder, seed, int(megabytes * MB / 10)) as house:
        most = max(30, int(megabytes * MB / LINE_BYTES / 8))
        number = 0
        while house.truth.bytes < megabytes * MB or number < len(FAMILIES):
            lines = min(most, house.text.size(70, 1.2, 6_000))
            _begun(house, FAMILIES[number % len(FAMILIES)], max(12, lines))
            number += 1
        if bad_lines:
            _bad_lines(house, bad_lines)
        return house.truth


def session_big(folder: Path, records: int = 50_000, seed: int = 1) -> Truth:
    """Write one session whose own file has about so many records (50,000 are about 100 MB)."""
    with _house(folder, seed, POOL_MOST) as house:
        story = Story(house, PROJECTS[0], _id(house), BEGIN_MS)
        story.tell(records)
        story.main.close()
        house.family_end()
        return house.truth


def sessions_many(folder: Path, n: int = 5_000, seed: int = 1) -> Truth:
    """Write so many short sessions, of 12 records or so each."""
    with _house(folder, seed, 300_000) as house:
        for _ in range(n):
            _begun(house, _plain, house.text.rng.randrange(6, 18))
        return house.truth


@contextmanager
def _house(folder: Path, seed: int, characters: int) -> Iterator[House]:
    """A corpus that is being written; its truth is written at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder.parent / f"{folder.name}.responses.jsonl"
    text = Text(random.Random(seed), min(POOL_MOST, max(60_000, characters)))
    with beside.open("w") as responses:
        house = House(folder, text, Truth(str(beside)), responses)
        yield house
    house.truth.write(folder.parent / f"{folder.name}.truth.json")


def _begun(house: House, family: Callable[[Story, int], None], lines: int) -> None:
    rng = house.text.rng
    # Work goes on by day, and some days more than on others.
    at_ms = BEGIN_MS + int((rng.randrange(DAYS) + rng.triangular(0.3, 0.8, 0.45)) * 86_400_000)
    family(Story(house, rng.choice(PROJECTS), _id(house), at_ms), lines)
    house.family_end()


def _id(house: House) -> str:
    digits = f"{house.text.rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _later(story: Story, cwd: str = "", session_id: str = "") -> Story:
    """Another session, begun minutes after the end of this one."""
    at_ms = story.main.at_ms + 60_000 * story.rng.randrange(1, 300)
    later = Story(story.house, cwd or story.cwd, session_id or _id(story.house), at_ms)
    later.model, later.main.model, later.main.version = story.model, story.model, story.version
    return later


def _plain(story: Story, lines: int) -> None:
    story.tell(lines)
    story.main.close()


def _titled(story: Story, lines: int) -> None:
    story.title("ai-title", "aiTitle")
    story.tell(lines)
    if story.rng.random() < 0.5:
        story.title("custom-title", "customTitle")
    story.main.close()


def _summarized(story: Story, lines: int) -> None:
    """The next session's file tells what this one was about."""
    story.tell(lines)
    story.main.close()
    later = _later(story)
    later.summarize(story)
    later.tell(max(4, lines // 3))
    later.main.close()


def _fork(story: Story, lines: int) -> None:
    """Another session begins with this one's records."""
    story.tell(lines)
    story.main.close()
    fork = _later(story)
    kept = story.main.kept
    fork.main.copy(kept[: fork.rng.randrange(1, min(len(kept), 25) + 1)])
    fork.truth.forked_from = story.truth.key
    fork.tell(fork.main.written + max(4, lines // 3))
    fork.main.close()


def _resumed(story: Story, lines: int) -> None:
    """Claude Code was killed while an answer came: its end and its result are in the resumed file."""
    story.tell(min(lines, 16))
    main = story.main
    done, tool_id = call_make(story.desk), main.tool_id()
    use = main.use(done, tool_id)
    response = main.respond(said("Let me see."), use, late=True)
    main.close()
    later = _later(story)
    later.main.copy(main.kept)
    later.truth.forked_from = story.truth.key
    later.main.answer_line(response, [use], response.tokens[1], last=True)
    later.main.result(done, tool_id)
    later.tell(later.main.written + max(4, lines // 3))
    later.main.close()


def _moved(story: Story, lines: int) -> None:
    """One session id in two folders: two sessions."""
    story.tell(lines)
    story.main.close()
    others = [cwd for cwd in PROJECTS if cwd != story.cwd and _folder(story, cwd) != story.folder]
    other = _later(story, story.rng.choice(others), story.session_id)
    other.tell(max(4, lines // 3))
    other.main.close()


def _folder(story: Story, cwd: str) -> Path:
    from bench.corpus_story import folder_name

    return story.house.root / folder_name(cwd)


def _warmup(story: Story, _lines: int) -> None:
    """A session that asks nothing."""
    story.truth.is_warmup = story.main.is_warmup = True
    story.main.prompt("Warmup")
    story.main.respond(said("I'm ready to help."))
    story.main.close()


def _warm_agents(story: Story, lines: int) -> None:
    """A session that has its cache warmed by sub-agents."""
    for _ in range(2):
        story.warm_agent(story.main.at_ms)
    story.tell(lines)
    story.main.close()


def _agents_only(story: Story, _lines: int) -> None:
    """Sub-agents whose session has no file of its own."""
    story.main.file.close()
    story.main.path.unlink()
    story.warm_agent(story.main.at_ms)
    story.truth.is_warmup = True


def _agents(story: Story, lines: int) -> None:
    """Sub-agents in every layout, and a workflow."""
    story.tell(max(6, lines // 2))
    for layout in ("below", "beside", "inline"):
        story.task(story.main, layout=layout)
    story.large_result(story.main)
    story.workflow()
    story.tell(lines)
    story.main.close()


FAMILIES = (
    _agents, _plain, _fork, _titled, _plain, _resumed, _summarized, _plain, _warm_agents, _moved, _warmup,
    _fork, _plain, _titled, _agents_only, _plain,
)  # fmt: skip


def _bad_lines(house: House, count: int) -> None:
    """A last file, of lines that are no records among ones that are; and one that is still being written."""
    rng = house.text.rng
    story = Story(house, PROJECTS[0], _id(house), BEGIN_MS + DAYS * 86_400_000)
    main: Scribe = story.main
    story.tell(6)
    for number in range(count):
        main.raw(BAD[number % len(BAD)].rstrip(b"\n") + b"\n", bad=True)
        if rng.random() < 0.3:
            main.raw(rng.choice((b"\n", b"  \r\n")), bad=False)
        story.tell(main.written + rng.randrange(1, 4))
    main.close()
    house.family_end()


if __name__ == "__main__":
    main()
