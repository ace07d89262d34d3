"""Static HTML that opens from a folder: pages as the site draws them, and a search without a server."""

from __future__ import annotations

import json
import re
import tempfile
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from django.template.loader import get_template

from transcripts_app.archive.models import Record, Session, TranscriptFile, moment
from transcripts_app.export.out import File, Out
from transcripts_app.export.reading import Line, Section, SessionReader, is_read
from transcripts_app.export.words import CHUNK_CHARACTERS, Shards, buckets_of, packed, unpacked
from transcripts_app.format.kinds import Kind
from transcripts_app.format.record import record_parse
from transcripts_app.redaction.engine import Redactor
from transcripts_app.render.record import record_view

PAGE_RECORDS = 200
PAGE_BYTES = 600_000  # of raw lines
WHOLE_BYTES = 2 * 2**20  # of a line that is drawn whole
PROMPTS_MOST = 2000
STYLES = ("css/base.css", "css/components.css", "css/transcripts.css")
ASSETS = Path(__file__).with_name("assets")
WORDS = "search/words"


@dataclass
class Leaf:
    """Which records of a section stand on which page."""

    section: Section
    starts: list[int]  # the first line of each page
    prompts: list[tuple[int, str]] = field(default_factory=list)  # line, text

    def page_of(self, line: int) -> int:
        return max(1, bisect_right(self.starts, line))

    def name(self, page: int) -> str:
        """The file of a page: index.html is the first of the session itself."""
        own = "index" if self.section.name == "s1" else self.section.name
        return f"{own}.html" if page == 1 else f"{own}-{page}.html"

    def anchor(self, line: int) -> str:
        return f"{self.section.name}-{line}"


class Texts:
    """The session's texts in chunks, each a script; and their buckets."""

    def __init__(self, out: Out, key: str) -> None:
        self._out, self._key = out, key
        self._rows: list[list[Any]] = []
        self._size = 0
        self.waiting: list[str] = []
        self.buckets: list[set[int]] = []

    def add(self, href: str, kind: int, text: str) -> None:
        """Add a record's text, in pieces where it is longer than a chunk."""
        for at in range(0, len(text), CHUNK_CHARACTERS):
            piece = text[max(0, at - 200) : at + CHUNK_CHARACTERS]  # no word is cut apart unseen
            self._rows.append([href, kind, piece])
            self._size += len(piece)
            if self._size >= CHUNK_CHARACTERS:
                self.close()

    def close(self) -> None:
        """End a chunk. Its script is written once no page is open."""
        if self._rows:
            number = len(self.buckets) + 1
            rows = json.dumps(self._rows, ensure_ascii=True, separators=(",", ":"))
            self.buckets.append(buckets_of("\n".join(row[2] for row in self._rows)))
            self.waiting.append(f"sparkArchive.text({json.dumps(self._key)},{number},{rows});\n")
            self._rows, self._size = [], 0

    def flush(self) -> list[str]:
        """Write the chunks that wait. Returns their names."""
        names = []
        first = len(self.buckets) - len(self.waiting) + 1
        for number, script in enumerate(self.waiting, first):
            name = f"sessions/{self._key}/text-{number}.js"
            with self._out.file(name) as file:
                file.write(script)
            names.append(name)
        self.waiting = []
        return names


class HtmlForm:
    """index.html, projects/<key>.html, sessions/<key>/index.html and its further pages, search/, assets/."""

    def __init__(self) -> None:
        self.redactor: Redactor | None = None
        self._scratch = tempfile.TemporaryDirectory(prefix="sparkweb-export-")
        self._folder = Path(self._scratch.name)
        self._words: dict[str, bytes | None] = {}

    def begin(self, _sessions: list[Session], redactor: Redactor | None) -> None:
        self.redactor = redactor

    def session(self, out: Out, reader: SessionReader) -> list[str]:
        """Write a session's pages, texts and words. Returns their names."""
        key = reader.session.key
        leaves = [self._leaf(section, reader) for section in reader.sections]
        if not any(leaf.section.name == "s1" for leaf in leaves):
            leaves.insert(0, Leaf(Section("s1", TranscriptFile(), "Session"), [1]))
        texts, names = Texts(out, key), list[str]()
        texts.add("index.html", Kind.TITLE.value, reader.title)
        for leaf in leaves:
            names += self._pages(out, reader, leaf, leaves, texts)
        texts.close()
        names += texts.flush()
        name = f"{WORDS}/{key}.z"
        with out.file(name) as file:
            file.write(packed(texts.buckets))
        (self._folder / key).write_bytes(packed(texts.buckets))
        return [*names, name]

    def taken(self, names: list[str]) -> None:
        """Names are of keys: nothing to keep apart."""

    def finish(self, out: Out, sessions: list[tuple[Session, str, str]]) -> None:
        """Write the lists, the search and what all pages share."""
        self._lists(out, sessions)
        self._search(out, sessions)
        for name in ("archive.js", "theme.js"):
            with out.file(f"assets/{name}") as file:
                file.write((ASSETS / name).read_bytes())
        with out.file("assets/archive.css") as file:
            file.write(style())
        self._scratch.cleanup()

    def _leaf(self, section: Section, reader: SessionReader) -> Leaf:
        rows = Record.objects.filter(file=section.file, generation=section.file.generation).order_by("line")
        leaf, count, size = Leaf(section, [1]), 0, 0
        for line, kind, length, preview in rows.values_list("line", "kind", "length", "preview").iterator():
            if count >= PAGE_RECORDS or size >= PAGE_BYTES:
                leaf.starts.append(line)
                count = size = 0
            count, size = count + 1, size + length
            if kind == Kind.PROMPT and len(leaf.prompts) < PROMPTS_MOST:
                leaf.prompts.append((line, reader.text(preview)))
        return leaf

    def _pages(
        self, out: Out, reader: SessionReader, leaf: Leaf, leaves: list[Leaf], texts: Texts
    ) -> list[str]:
        names: list[str] = []
        lines = reader.read(leaf.section) if leaf.section in reader.sections else iter(())
        line = next(lines, None)
        for page in range(1, len(leaf.starts) + 1):
            name = f"sessions/{reader.session.key}/{leaf.name(page)}"
            with out.file(name) as file:
                file.write(self._head(reader, leaf, leaves, page))
                while line is not None and leaf.page_of(line.row.line) == page:
                    self._record(file, line, reader, leaf, leaves, texts)
                    line = next(lines, None)
                file.write(_render("foot", _turn(leaf, page)))
            names += [name, *texts.flush()]
        return names

    def _head(self, reader: SessionReader, leaf: Leaf, leaves: list[Leaf], page: int) -> str:
        session, first = reader.session, leaf.section.name == "s1" and page == 1
        context = {
            "session": session, "title": reader.title, "leaf": leaf, "page": page, "root": "../../",
            "is_first": first, "name": leaf.section.title, "is_agent": leaf.section.name != "s1",
            "project": reader.text(session.project.path), "branch": reader.text(session.branch),
            "models": [reader.text(str(one)) for one in session.model_names],
            "at": moment(session.started_ms),
            "prompts": [(f"{leaf.name(leaf.page_of(line))}#{leaf.anchor(line)}", text or "(no words)")
                        for line, text in leaf.prompts] if first else [],
            "others": [(one.name(1), one.section.title) for one in leaves if one.section.name != "s1"],
        }  # fmt: skip
        return _render("head", context | _turn(leaf, page))

    def _record(
        self, file: File, line: Line, reader: SessionReader, leaf: Leaf, leaves: list[Leaf], texts: Texts
    ) -> None:
        row = line.row
        href = f"{leaf.name(leaf.page_of(row.line))}#{leaf.anchor(row.line)}"
        text = _text_of(line)
        if text:
            texts.add(href, row.kind, text)
        if not is_read(row) or line.is_drawn_above:
            file.write(f'<span id="{leaf.anchor(row.line)}"></span>\n')
            return
        by_file = {one.section.file.pk: one for one in leaves if one.section.name != "s1"}
        agents = [by_file[call.agent_file_id] for call in line.calls if call.agent_file_id in by_file]
        outputs = [by_file[call.result_file_id] for call in line.calls if call.result_file_id in by_file]
        context = {
            "row": row, "anchor": leaf.anchor(row.line), "at": row.at, "model": reader.text(row.model),
            "links": [(one.name(1), one.section.title) for one in (*agents, *outputs)],
            "is_error": row.is_error or any(call.is_error for call in line.calls),
        }  # fmt: skip
        if row.kind == Kind.RESULT_FILE:
            context["plain"] = line.record.get("text", "")
        else:
            whole = row.length < WHOLE_BYTES
            context["view"] = record_view(line.record, kind=Kind(row.kind), results=line.results,
                                          whole=whole, inline_media=True)  # fmt: skip
        file.write(_render("record", context))

    def _lists(self, out: Out, sessions: list[tuple[Session, str, str]]) -> None:
        projects: dict[str, list[tuple[Session, str]]] = {}
        paths: dict[str, str] = {}
        for session, title, path in sessions:
            projects.setdefault(session.project.key, []).append((session, title))
            paths[session.project.key] = path
        order = sorted(projects, key=lambda key: (paths[key], key))
        told = [{"key": key, "path": paths[key], "sessions": len(projects[key]),
                 "prompts": sum(one.prompts for one, _ in projects[key]),
                 "output": sum(one.output_tokens for one, _ in projects[key]),
                 "last": max((one.started_at for one, _ in projects[key] if one.started_at), default=None),
                 } for key in order]  # fmt: skip
        with out.file("index.html") as file:
            newest = [(one, title) for one, title, _ in sessions[:-21:-1]]
            context = {"projects": told, "root": "", "sessions": len(sessions), "newest": newest}
            file.write(_render("index", context))
        for key in order:
            with out.file(f"projects/{key}.html") as file:
                file.write(
                    _render("project", {"path": paths[key], "root": "../", "rows": projects[key][::-1]})
                )

    def _search(self, out: Out, sessions: list[tuple[Session, str, str]]) -> None:
        """Sort every session's words into shards; sessions that were taken over bring theirs along."""
        known = [(session, self._words_of(out, session.key)) for session, _, _ in sessions]
        postings = sum(len(one) for _, path in known for one in unpacked(path.read_bytes()))
        shards, chunk, chunks = Shards(self._folder, postings), 0, list[int]()
        for _, path in known:
            count = 0
            for buckets in unpacked(path.read_bytes()):
                shards.add(chunk, buckets)
                chunk, count = chunk + 1, count + 1
            chunks.append(count)
        table = [[session.key, title, path, _stamp(session)] for session, title, path in sessions]
        about = {"bits": shards.bits, "chunks": chunks, "sessions": table}
        with out.file("search/about.js") as file:
            file.write(f"sparkArchive.about({json.dumps(about, separators=(',', ':'))});\n")
        for number, script in shards.scripts():
            with out.file(f"search/{number}.js") as file:
                file.write(script)

    def _words_of(self, out: Out, key: str) -> Path:
        here = self._folder / key
        return here if here.exists() else Path(out.partial) / WORDS / f"{key}.z"  # type: ignore[attr-defined]


def _text_of(line: Line) -> str:
    if line.row.kind == Kind.RESULT_FILE:
        return str(line.record.get("text", ""))
    return record_parse(line.record).text


def _turn(leaf: Leaf, page: int) -> dict[str, Any]:
    last = len(leaf.starts)
    return {
        "pages": last,
        "page": page,
        "before": leaf.name(page - 1) if page > 1 else "",
        "after": leaf.name(page + 1) if page < last else "",
    }


def _stamp(session: Session) -> str:
    at = moment(session.started_ms)
    return at.strftime("%Y-%m-%d %H:%M") if at else ""


def _render(name: str, context: dict[str, Any]) -> str:
    return str(_template(name).render(context))


@cache
def _template(name: str) -> Any:
    return get_template(f"transcripts_app/export/{name}.html")


def style() -> str:
    """The site's own style sheets as one, without anything that is loaded from elsewhere."""
    sheets = [Path(found).read_text() for one in STYLES if (found := finders.find(one))]
    text = "\n".join([(ASSETS / "reset.css").read_text(), *sheets, (ASSETS / "archive.css").read_text()])
    text = re.sub(r"@font-face\s*\{[^}]*\}", "", text)
    return re.sub(r"url\((?!\s*[\"']?data:)[^)]*\)", "none", re.sub(r"@import[^;]*;", "", text))
