"""What an export takes, beside claude-code-transcripts, on a generated corpus.

    .venv/bin/python -m bench.transcript_export [--mb 20] [--peer PATH_TO/claude-code-transcripts]

Imports the corpus into a scratch archive, exports it in every format, again with nothing changed, and
masked; prints seconds of wall and processor, megabytes written, and the peak of memory. The peer runs
its `all` on the same folder. It also prints which share of the import's reading the scan for secrets takes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(name: str, command: list[str], environment: dict[str, str], out: Path | None) -> None:
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, check=False)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    written = (
        sum(one.stat().st_size for one in out.rglob("*") if one.is_file()) if out and out.exists() else 0
    )
    print(json.dumps({
        "what": name, "wall_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2),
        "written_mb": round(written / 1e6, 1), "peak_mb_of_all_so_far": round(after.ru_maxrss / 1024),
        "failed": ended.stderr[-300:] if ended.returncode else "",
    }), flush=True)  # fmt: skip


def scan_share(folder: Path) -> None:
    """Processor seconds of the scan, and of reading with it."""
    from transcripts_app.importing.batch import Limits, Lines
    from transcripts_app.redaction.scan import secrets_by_line

    secrets_by_line(b'{"password": "x1234567"}')  # compile
    files = sorted(folder.rglob("*.jsonl"))
    begun = time.process_time()
    for path in files:
        secrets_by_line(path.read_bytes())
    scan, begun = time.process_time() - begun, time.process_time()
    for path in files:
        with path.open("rb") as file:
            for _ in Lines(file.fileno(), "session", Limits()).chunks(0, 0):
                pass
    whole = time.process_time() - begun
    size = sum(path.stat().st_size for path in files) / 1e6
    print(json.dumps({
        "what": "scan for secrets", "mb": round(size, 1), "cpu_seconds": round(scan, 2),
        "mb_a_second": round(size / scan), "share_of_reading": round(scan / whole, 3),
    }), flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mb", type=int, default=20)
    parser.add_argument("--peer", help="the command claude-code-transcripts")
    given = parser.parse_args()
    from bench.transcript_corpus import corpus_make

    with tempfile.TemporaryDirectory(prefix="sparkweb-export-bench-") as name:
        scratch = Path(name)
        corpus = scratch / "projects"
        corpus_make(corpus, given.mb, 1)
        environment = dict(os.environ) | {"SPARKWEB_DATA_DIR": str(scratch / "data")}
        manage = [sys.executable, str(ROOT / "manage.py")]
        scan_share(corpus)
        run("migrate", [*manage, "migrate", "--database", "archive", "-v0"], environment, None)
        run("migrate main", [*manage, "migrate", "-v0"], environment, None)
        run("import", [*manage, "import_transcripts", str(corpus)], environment, None)
        for form in ("html", "markdown", "json", "jsonl"):
            out = scratch / form
            command = [*manage, "export_transcripts", "--format", form, "-o", str(out)]
            run(form, command, environment, out)
            run(f"{form}, nothing changed", command, environment, out)
        out = scratch / "masked"
        run(
            "html masked",
            [*manage, "export_transcripts", "--redact", "sharing", "-o", str(out)],
            environment,
            out,
        )
        if given.peer:
            out = scratch / "peer"
            run(
                "claude-code-transcripts all",
                [given.peer, "all", "-s", str(corpus), "-o", str(out)],
                environment,
                out,
            )


if __name__ == "__main__":
    main()
