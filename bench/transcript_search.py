"""Searching an archive of transcripts: a published mix of queries, and common words beside bare FTS5.

    python -m bench.transcript_search [--megabytes 500] [--corpus FOLDER] [--archive FILE] [--rounds 3]

A corpus is written by `bench.transcript_corpus` (unless one is given), read into an archive (unless one is
given), and searched as its admin: everything. A search is what the API does without HTTP: the query is
read, counted, ranked or sorted, and twenty hits get their snippets from the raw lines. Beside the clock
stands this thread's own processor time, which others on the machine do not stretch.

The mix (MIX) says what is asked how often, and why. Words are drawn by seed from the archive's own
vocabulary, by how many records hold them. Each round asks everything anew in another order. Floors: FTS5's
own `ORDER BY rank LIMIT 20` on the same file and connection, which makes no snippet and counts nothing;
ripgrep over the raw files, where it is installed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.figures import percentile, show

SEED = 7
VARIANTS = 6
TARGET_P50_MS, TARGET_P99_MS, TARGET_RATIO = 30, 150, 1.2


@dataclass(frozen=True)
class Kind:
    """A kind of query: how many of a hundred are so. {rare}: in at most 20 records; {some}: in about one of
    500; {often}: in about one of 20; {common}: in more than one of 8. `pair`: two words that follow."""

    name: str
    of_100: int
    query: str
    why: str
    sort: str = ""


MIX = (
    Kind("a rare word", 18, "{rare}", "a name that one remembers: most searches are for one thing"),
    Kind("two words", 14, "{some} {often}", "words of an error or of a task"),
    Kind("a word now and then", 10, "{some}", "a module, a command"),
    Kind("a phrase", 10, '"{pair}"', "an error message pasted, an identifier, a path"),
    Kind("a beginning", 6, "{start}*", "while one types"),
    Kind("a tool's failures", 8, "tool:Bash is:error {often}", "what went wrong the last time"),
    Kind("failures, newest", 6, "tool:Bash is:error", "without words: by time", "newest"),
    Kind("a file's edits", 6, "path:*.py tool:Edit {often}", "who changed this"),
    Kind("in prompts, since", 6, "in:prompt after:2026-06 {often}", "what did I ask for"),
    Kind("a project's", 5, "project:{project} {some}", "narrowed by the page"),
    Kind("a model on a branch", 3, "model:opus branch:main {often}", "narrowed twice"),
    Kind("without", 3, "{often} -{common} -tool:Read", "too many, so leave out"),
    Kind("one of two", 2, "({some} OR {rare}) in:answer", "spelt either way"),
    Kind("a common word", 2, "{common}", "the worst that people type, ranked"),
    Kind("a common word, newest", 1, "{common}", "the same by time", "newest"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--corpus", type=Path, help="a folder of transcripts instead of a made one")
    parser.add_argument("--archive", type=Path, help="an archive that holds the corpus already")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="search-bench-") as folder:
        os.environ["SPARKWEB_DATA_DIR"] = folder
        os.environ["SPARKWEB_LOG_LEVEL"] = "error"
        os.environ["DJANGO_SETTINGS_MODULE"] = "sparkweb.settings"
        if options.archive:
            os.environ["SPARKWEB_ARCHIVE"] = str(options.archive.resolve())
        corpus = options.corpus or (None if options.archive else _corpus(Path(folder), options.megabytes))
        rows = measure(corpus, read=options.archive is None, rounds=options.rounds)
    show("Searching the transcript archive", rows, options.json)


def measure(corpus: Path | None, *, read: bool, rounds: int) -> list[dict[str, Any]]:
    """Read the corpus, ask the mix, and return a row for each kind, for all, and for common words."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("migrate", database="archive", verbosity=0)
    if read:
        call_command("import_transcripts", str(corpus))
    words = Words()
    asked = [(kind, words.fill(kind.query)) for kind in MIX for _ in range(VARIANTS)]
    taken: dict[str, list[tuple[float, float]]] = {kind.name: [] for kind in MIX}
    chooser = random.Random(SEED)
    for kind, text in asked:
        search(text, kind.sort)  # the file's pages are in memory, as on a machine that runs for days
    for _ in range(rounds):
        chooser.shuffle(asked)
        for kind, text in asked:
            taken[kind.name].append(timed(partial(search, text, kind.sort)))
    rows = [{"what": kind.name, "of 100": kind.of_100, **_figures(taken[kind.name])} for kind in MIX]
    weighted = [one for kind in MIX for one in taken[kind.name] for _ in range(kind.of_100)]
    rows.append({"what": f"THE MIX (p50 at most {TARGET_P50_MS}, p99 {TARGET_P99_MS})", **_figures(weighted)})
    rows += [common_row(word, records, rounds) for word, records in words.commonest]
    return rows + ripgrep_rows(corpus, words.commonest[0][0])


def search(text: str, sort: str = "") -> None:
    """What one call of the API does between request and answer."""
    from sparkweb.accounts.models import Role, User
    from transcripts_app.search.query import query_parse
    from transcripts_app.search.results import hits_of
    from transcripts_app.search.run import Search

    query = query_parse(text)
    one = Search(query, User(username="bench", role=Role.ADMIN))
    hits_of(one.page(sort).records, query, one.scope)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return milliseconds by the clock and of this thread's processor time."""
    clock, cpu = time.perf_counter(), time.thread_time()
    work()
    return (time.perf_counter() - clock) * 1000, (time.thread_time() - cpu) * 1000


def common_row(word: str, records: int, rounds: int) -> dict[str, Any]:
    """A common word, ranked: the whole search beside FTS5 alone, by turns; the best of each counts."""
    from transcripts_app.search.scope import archive

    bare = "SELECT rowid FROM archive_search WHERE archive_search MATCH ? ORDER BY rank LIMIT 20"
    connection = archive()
    theirs, ours = [], []
    for _ in range(3 * rounds):
        theirs.append(timed(lambda: connection.execute(bare, (f'"{word}"',)).fetchall()))
        ours.append(timed(partial(search, word, "rank")))
    floor, mine = min(cpu for _, cpu in theirs), min(cpu for _, cpu in ours)
    return {
        "what": f"`{word}` in {records:,} records, ranked", "best cpu ms": mine, "bare FTS5 cpu ms": floor,
        "ratio": mine / floor, "target": TARGET_RATIO,
    }  # fmt: skip


def ripgrep_rows(corpus: Path | None, word: str) -> list[dict[str, Any]]:
    program = shutil.which("rg")
    if program is None or corpus is None:
        return [{"what": "ripgrep: not installed" if program is None else "ripgrep: no raw files were given"}]
    command = [program, "--count-matches", "--ignore-case", "--word-regexp", word, str(corpus)]
    clock, _ = timed(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=False))
    return [{"what": f"ripgrep for `{word}` over the raw files", "p50 ms": clock}]


class Words:
    """The archive's vocabulary, by how many records hold a word."""

    def __init__(self) -> None:
        from transcripts_app.archive.models import Project
        from transcripts_app.search.scope import archive

        connection = archive()
        connection.execute(
            "CREATE VIRTUAL TABLE temp.bench_terms USING fts5vocab('main', 'archive_search', 'col')"
        )
        rows = connection.execute(
            "SELECT term, doc FROM temp.bench_terms WHERE col = 'body' AND length(term) > 2"
        )
        found = [(term, doc) for term, doc in rows if term.isalpha()]
        total = connection.execute("SELECT COUNT(*) FROM archive_search_docsize").fetchone()[0]
        self.chooser = random.Random(SEED)
        self.by = {
            "rare": [term for term, doc in found if 2 <= doc <= 20],
            "some": [term for term, doc in found if total / 1000 <= doc <= total / 250],
            "often": [term for term, doc in found if total / 30 <= doc <= total / 12],
            "common": [term for term, doc in found if doc >= total / 8],
        }
        self.commonest = sorted(found, key=lambda one: -one[1])[:5]
        self.projects = list(Project.objects.values_list("name", flat=True))
        self.pairs = self._pairs()

    def fill(self, query: str) -> str:
        values = {name: self.chooser.choice(terms) for name, terms in self.by.items() if terms}
        values["start"] = self.chooser.choice(self.by["some"])[:5]
        values["project"] = self.chooser.choice(self.projects).replace(" ", "?")
        values["pair"] = self.chooser.choice(self.pairs)
        return query.format(**values)

    def _pairs(self) -> list[str]:
        """Words that stand one behind the other in the archive's previews."""
        from transcripts_app.archive.models import Record

        texts = Record.objects.exclude(preview="").order_by("pk").values_list("preview", flat=True)[:4000]
        found = []
        for text in texts:
            parts = [part for part in text.split() if part.isalpha()]
            found += [" ".join(parts[2:5])] if len(parts) > 5 else []
        return found or ["no such file"]


def _corpus(folder: Path, megabytes: float) -> Path:
    from bench.transcript_corpus import corpus_make

    corpus_make(folder / "corpus", megabytes, SEED)
    return folder / "corpus"


def _figures(taken: list[tuple[float, float]]) -> dict[str, float]:
    clock, cpu = [one for one, _ in taken], [one for _, one in taken]
    return {
        "p50 ms": percentile(clock, 50), "p99 ms": percentile(clock, 99),
        "p50 cpu ms": percentile(cpu, 50), "p99 cpu ms": percentile(cpu, 99),
    }  # fmt: skip


if __name__ == "__main__":
    main()
