"""Code in colours, as spans of a known list of classes. No Django here.

Pygments names the tokens; the style sheet has the colours. A text that is long, or that a lexer
takes too long for, stays plain: a page never waits for colours.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import Any

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

from transcripts_app.render.values import esc

CHARACTERS_MOST = 6_000  # coloured on a page
WHOLE_CHARACTERS_MOST = 60_000
SECONDS_MOST = 0.05
WHOLE_SECONDS_MOST = 0.5
CLASSES = frozenset(name for name in STANDARD_TYPES.values() if name)

# Names and endings of files that people have; a lexer for anything else is not looked for.
LANGUAGES = {
    "python": "py pyi python python3 py3 pyw",
    "javascript": "js javascript mjs cjs jsx node",
    "typescript": "ts typescript mts cts",
    "tsx": "tsx",
    "json": "json jsonc webmanifest ipynb",
    "bash": "sh bash zsh shell ksh console-bash bashrc",
    "console": "console shell-session terminal",
    "html": "html htm xhtml vue svelte",
    "css": "css",
    "scss": "scss",
    "less": "less",
    "xml": "xml svg xsd xslt plist",
    "yaml": "yaml yml",
    "toml": "toml",
    "ini": "ini cfg conf editorconfig properties",
    "sql": "sql sqlite postgresql psql mysql",
    "rust": "rs rust",
    "go": "go golang",
    "java": "java",
    "kotlin": "kt kts kotlin",
    "swift": "swift",
    "c": "c h",
    "cpp": "cpp cc cxx hpp hh c++ cu cuh",
    "csharp": "cs csharp c#",
    "ruby": "rb ruby rake gemspec",
    "php": "php",
    "perl": "pl pm perl",
    "lua": "lua",
    "r": "r",
    "scala": "scala",
    "elixir": "ex exs elixir",
    "haskell": "hs haskell",
    "diff": "diff patch",
    "docker": "dockerfile docker containerfile",
    "make": "makefile make mk",
    "nginx": "nginx",
    "markdown": "md markdown",
    "powershell": "ps1 powershell pwsh",
    "graphql": "graphql gql",
    "protobuf": "proto protobuf",
    "terraform": "tf hcl terraform",
    "nix": "nix",
    "zig": "zig",
    "dart": "dart",
    "django": "jinja jinja2 j2 django",
}
_ALIASES = {alias: name for name, aliases in LANGUAGES.items() for alias in aliases.split()}
_NAMES = {"python": "Python", "javascript": "JavaScript", "typescript": "TypeScript", "json": "JSON",
          "html": "HTML", "css": "CSS", "xml": "XML", "yaml": "YAML", "toml": "TOML", "sql": "SQL",
          "cpp": "C++", "csharp": "C#", "php": "PHP", "tsx": "TSX", "scss": "SCSS", "ini": "INI",
          "graphql": "GraphQL"}  # fmt: skip
_WORD = re.compile(r"[A-Za-z0-9+#_.-]{1,30}")


def language_of(name: str) -> str:
    """Return our name of a language that a fence or the ending of a path gives; empty if unknown."""
    found = _WORD.match(name.strip())
    return _ALIASES.get(found[0].lower(), "") if found else ""


def language_of_path(path: str) -> str:
    """Return the language of a file by its ending, or by its whole name (`Dockerfile`)."""
    last = path[-300:].replace("\\", "/").rsplit("/", 1)[-1].lower()
    return _ALIASES.get(last.rsplit(".", 1)[-1], "") or _ALIASES.get(last.split(".", 1)[0], "")


def language_name(language: str) -> str:
    """Write a language for people."""
    return _NAMES.get(language, language.capitalize())


def code_html(code: str, language: str = "", *, whole: bool = False) -> str:
    """Return code for HTML, escaped, in colours if the language is known and the text is not too long."""
    if not language or len(code) > (WHOLE_CHARACTERS_MOST if whole else CHARACTERS_MOST):
        return esc(code)
    if whole:
        return _coloured(code, language, WHOLE_SECONDS_MOST)
    return _kept(code, language)


@lru_cache(maxsize=512)
def _kept(code: str, language: str) -> str:
    return _coloured(code, language, SECONDS_MOST)


def _coloured(code: str, language: str, seconds: float) -> str:
    lexer = _lexer(language)
    if lexer is None:
        return esc(code)
    pieces: list[str] = []
    end = time.monotonic() + seconds
    last, waiting = "", ""
    for number, (kind, value) in enumerate(lexer.get_tokens(code)):
        if number % 256 == 255 and time.monotonic() > end:
            return esc(code)
        name = _class(kind)
        if name == last or not value.strip():
            waiting += value
            continue
        _put(pieces, last, waiting)
        last, waiting = name, value
    _put(pieces, last, waiting)
    return "".join(pieces)


def _put(pieces: list[str], name: str, value: str) -> None:
    """Spans end before a newline, so that a text can be cut into lines."""
    if not value:
        return
    if not name:
        pieces.append(esc(value))
    elif "\n" not in value:
        pieces.append(f'<span class="{name}">{esc(value)}</span>')
    else:
        lines = (f'<span class="{name}">{esc(line)}</span>' if line else "" for line in value.split("\n"))
        pieces.append("\n".join(lines))


@lru_cache(maxsize=1024)
def _class(kind: Any) -> str:
    while kind not in STANDARD_TYPES:
        kind = kind.parent
    name = STANDARD_TYPES[kind]
    return "" if name in ("w", "n", "p", "err", "x", "esc") else name


@lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
