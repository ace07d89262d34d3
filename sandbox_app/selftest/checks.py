"""Attacks that are no program in a container: on files, fetches, SQL, arguments, ids and TOOL.md files.

Each check returns what was seen, and raises Broken where the wall did not hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rest_framework.exceptions import ValidationError

from sandbox_app.api_execute import session_wanted
from sandbox_app.models import Tool, ToolRun
from sandbox_app.selftest.bench import Bench
from sandbox_app.toolfile import tool_parse
from sparkweb.refusal import Refused
from sparkweb.yaml_file import YamlRefused


class Broken(Exception):
    """The wall did not hold; the sentence says where."""


@dataclass(frozen=True)
class Check:
    number: int
    name: str
    expected: str
    run: Callable[[Bench], str]


def _must(holds: bool, sentence: str) -> None:
    if not holds:
        raise Broken(sentence)


def _seen(run: ToolRun) -> str:
    return f"{run.outcome}: {run.reason or run.stderr.strip()[-120:] or run.stdout.strip()[:120]}"


# Fetches --------------------------------------------------------------------------

PLACES = (
    "http://127.0.0.1:5173/",
    "http://[::1]:5173/",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/",
)
NOTATIONS = (
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://0/",
    "http://localhost/",
)
RELAYS = (
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_PING",
    "http://user:word@127.0.0.1/",
)


def _refused_urls(bench: Bench, urls: tuple[str, ...]) -> str:
    for url in urls:
        try:
            run = bench.call("web_fetch", {"url": url})
        except Refused:
            continue
        allowed = [one for one in run.egress if one.get("verdict") == "allowed"]
        _must(not run.ok and not allowed, f"{url} was fetched: {_seen(run)}")
    return f"{len(urls)} addresses refused"


def private_places(bench: Bench) -> str:
    return _refused_urls(bench, PLACES)


def notations(bench: Bench) -> str:
    return _refused_urls(bench, NOTATIONS)


def relays(bench: Bench) -> str:
    return _refused_urls(bench, RELAYS)


# Files of a session ---------------------------------------------------------------

OUTSIDE = ("../../etc/passwd", "/etc/passwd", "a/../../etc/passwd", "..", "./../x")
MAKE_LINKS = """
import os
os.makedirs("/workspace/odd", exist_ok=True)
os.chdir("/workspace/odd")
for name in os.listdir(): os.unlink(name)
os.symlink("/etc/passwd", "link")
os.symlink("/etc", "folder")
os.mkfifo("fifo")
open("plain", "w").write("mine")
try: os.link("/etc/passwd", "hard")
except OSError: pass
print("made")
"""


def _unread(bench: Bench, path: str) -> None:
    status = bench.file(bench.session(), path)
    _must(status in (400, 404, 409), f"{path!r} was answered with {status}")


def _read(bench: Bench, path: str) -> None:
    status = bench.file(bench.session(), path)
    _must(status == 200, f"{path!r} is the session's own, and was answered with {status}")


def paths_outside(bench: Bench) -> str:
    run = bench.call("bash_command", {"command": "echo mine > plain"}, bench.session())
    _must(run.ok, _seen(run))
    _read(bench, "plain")
    for path in OUTSIDE:
        _unread(bench, path)
    return f"{len(OUTSIDE)} paths refused"


def links(bench: Bench) -> str:
    run = bench.call("code_execution", {"code": MAKE_LINKS}, bench.session())
    _must(run.ok, _seen(run))
    _read(bench, "odd/plain")
    for path in ("odd/link", "odd/folder/passwd", "odd/folder"):
        _unread(bench, path)
    return "links are not followed"


def odd_files(bench: Bench) -> str:
    run = bench.call("code_execution", {"code": MAKE_LINKS}, bench.session())
    _must(run.ok, _seen(run))
    for path in ("odd/fifo", "odd/hard", "odd"):
        _unread(bench, path)
    _must(bench.listing(bench.session(), "odd") == 200, "the folder was not listed")
    return "regular files alone"


# SQL ------------------------------------------------------------------------------


def _sql_refused(bench: Bench, *statements: str) -> str:
    session = bench.session()
    said = ""
    for statement in statements:
        run = bench.call("data_storage", {"operation": "query", "sql": statement}, session)
        _must(not run.ok, f"{statement[:60]} passed: {run.stdout[:80]}")
        said = _seen(run)
    return said


def sql_attach(bench: Bench) -> str:
    return _sql_refused(bench, "ATTACH '/tmp/x.db' AS x", "VACUUM INTO '/tmp/x.db'")


def sql_extension(bench: Bench) -> str:
    return _sql_refused(bench, "SELECT load_extension('/tmp/x.so')", "SELECT readfile('/etc/passwd')")


def sql_schema(bench: Bench) -> str:
    return _sql_refused(bench, "PRAGMA writable_schema = ON", "UPDATE sqlite_master SET sql = 'x'")


def sql_endless(bench: Bench) -> str:
    return _sql_refused(
        bench, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    )


def sql_zeroblob(bench: Bench) -> str:
    return _sql_refused(bench, "SELECT zeroblob(2000000000)", "SELECT hex(zeroblob(500000000))")


# Arguments, ids, keys -----------------------------------------------------------------

QUOTES = '\'; rm -rf / #"\n$(id)`id`\\\'"""\n%s{{7*7}}'


def session_ids(_bench: Bench) -> str:
    for uid in ("../x", "..%2fx", "a\0b", "1' OR '1'='1"):
        try:
            session_wanted(uid)
        except ValidationError:
            continue
        raise Broken(f"{uid!r} was taken for an id")
    try:
        session_wanted("00000000-0000-4000-8000-000000000000")
    except Refused:
        return "400 and 404"
    raise Broken("a session that nobody made was found")


def quotes(bench: Bench) -> str:
    code = f"print({QUOTES!r}, end='')"
    run = bench.call("code_execution", {"code": code})
    _must(run.stdout == QUOTES, f"came back changed: {run.stdout!r}")
    run = bench.call("bash_command", {"command": "cat", "stdin": QUOTES})
    _must(run.stdout == QUOTES, f"came back changed: {run.stdout!r}")
    return "data stays data"


def large_argument(bench: Bench) -> str:
    size = 3_900_000
    run = bench.call("code_execution", {"code": f"x = '{'a' * size}'\nprint(len(x))"})
    _must(run.ok and run.stdout.strip() == str(size), _seen(run))
    return f"{size} characters arrived"


def nul_argument(bench: Bench) -> str:
    try:
        bench.call("code_execution", {"code": "print('\0')"})
    except Refused as refused:
        return refused.message[:120]
    raise Broken("NUL was accepted")


def same_key_twice(bench: Bench) -> str:
    key = bench.key()
    first = bench.call("code_execution", {"code": "print(1)"}, key=key)
    second = bench.call("code_execution", {"code": "print(1)"}, key=key)
    _must(first.pk == second.pk, "it ran twice")
    return "one run"


# Files that a run leaves --------------------------------------------------------------

MAKE_FILES = """
import os, struct, zlib
os.chdir(os.environ["ARTIFACTS"])
open("page.html", "w").write("<script>alert(1)</script>")
open("picture.svg", "w").write('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>')
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
size = 50_000
head = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 1, 0, 0, 0, 0))
rows = chunk(b"IDAT", zlib.compress(bytes(size // 8 + 1) * 2000, 9))
open("bomb.png", "wb").write(b"\\x89PNG\\r\\n\\x1a\\n" + head + rows + chunk(b"IEND", b""))
print("made")
"""


def files_left(bench: Bench) -> str:
    run = bench.call("code_execution", {"code": MAKE_FILES})
    _must(run.ok, _seen(run))
    told = list(run.artifacts.all())
    runs_script = [one.name for one in told if one.media_type in ("text/html", "image/svg+xml")]
    _must(not runs_script, f"{runs_script} would be run by a browser")
    return "nothing that a browser would run"


# TOOL.md --------------------------------------------------------------------------

ALIASES = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefghij", "bcdefghijk", strict=False)
)
BAD_TOOLS = (
    f"---\nname: bomb\n{ALIASES}---\n",
    "---\nname: !!python/object/apply:os.system [id]\n---\n",
    "---\nname: rooted\ndescription: x\nrunner: run.py\nsandbox: {privileged: true}\n---\n",
    "---\nname: ../up\ndescription: x\nrunner: run.py\n---\n",
    "---\nname: away\ndescription: x\nrunner: ../../run.py\n---\n",
    "no front matter",
)


def tool_files(_bench: Bench) -> str:
    for text in BAD_TOOLS:
        try:
            tool_parse(text.encode(), ["run.py"])
        except YamlRefused:
            continue
        raise Broken(f"{text[:60]!r} was taken for a tool")
    _must(not Tool.objects.filter(name="bomb").exists(), "it was stored")
    return f"{len(BAD_TOOLS)} refused"


CHECKS = [
    Check(22, "cloud metadata and the LAN by web_fetch", "unreachable", private_places),
    Check(28, "addresses in odd notations", "each refused", notations),
    Check(29, "other schemes, credentials, relays", "each refused", relays),
    Check(30, "paths that lead out of a workspace", "refused", paths_outside),
    Check(31, "symbolic links in a workspace", "not followed", links),
    Check(32, "hard links, pipes, folders as files", "regular files alone", odd_files),
    Check(33, "SQL: ATTACH, VACUUM INTO", "the authorizer denies", sql_attach),
    Check(34, "SQL: extensions and files", "the authorizer denies", sql_extension),
    Check(35, "SQL: writable_schema", "the authorizer denies", sql_schema),
    Check(36, "SQL: endless recursion", "a deadline ends it", sql_endless),
    Check(37, "SQL: gigantic values", "a length limit", sql_zeroblob),
    Check(38, "ids of sessions that are paths", "400, and 404", session_ids),
    Check(39, "quotes and newlines in arguments", "data, never source", quotes),
    Check(40, "an argument of 4 MB", "works", large_argument),
    Check(41, "NUL in an argument", "refused", nul_argument),
    Check(46, "HTML, SVG and picture bombs left as files", "never run", files_left),
    Check(60, "the same idempotency key twice", "one run", same_key_twice),
    Check(62, "TOOL.md: alias bomb, !!python, privileged", "refused at load", tool_files),
]
# What a running house cannot do to itself: shown by these tests, with stand-ins for the outside.
TESTED = {
    26: ("a redirect to a private address", "tests/sandbox/test_egress.py"),
    27: ("a name that changes its address", "tests/sandbox/test_egress.py"),
    44: (
        "zip, tar and gzip bombs",
        "tests/sandbox/test_egress.py (answers); no archive is unpacked outside a container",
    ),
    45: ("archives that lead out", "no archive is unpacked outside a container"),
    58: ("the agent or control killed in mid-run", "tests/sandbox/test_run_stack.py"),
    59: ("Docker restarted in mid-run", "tests/sandbox/test_node_faults.py"),
}
