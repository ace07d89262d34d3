"""From a query's tree to an expression of FTS5. No Django here.

Every word is quoted and holds letters and digits only, so that nothing a user typed is ever
read as FTS5's own language. Source: sqlite.org/fts5.html, "Full-text Query Syntax".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from transcripts_app.format.facets import ERROR, SIDECHAIN, tool_facet
from transcripts_app.format.kinds import Kind
from transcripts_app.search.filters import PLACES
from transcripts_app.search.query import Facet, Group, Not, Part, Words

NamesLike = Callable[[str, str], list[str]]
"""Given a filter's name and value, the facet words of all names that it means (model, branch)."""

EVERYTHING = tuple(f"k{kind.value}" for kind in Kind)
NOTHING = '"xnothing"'


def match_of(group: Group, names_like: NamesLike, also: Iterable[str] = ()) -> str:
    """Return the expression of a query; `also` are expressions that must hold besides."""
    wanted = [_part(part, names_like) for part in group.parts if not isinstance(part, Not)]
    wanted += also
    unwanted = [_part(part.part, names_like) for part in group.parts if isinstance(part, Not)]
    return _without(wanted or [facet_any(EVERYTHING)], unwanted)


def facet_any(words: Iterable[str]) -> str:
    """One of these facets; of none, nothing."""
    quoted = " OR ".join(f'"{word}"' for word in words)
    return f"(facets : ({quoted or NOTHING}))"


def _part(part: Part, names_like: NamesLike) -> str:
    if isinstance(part, Words):
        star = " *" if part.is_prefix else ""
        return f'(body : "{" ".join(part.words)}"{star})'
    if isinstance(part, Facet):
        return facet_any(word for value in part.values for word in facet_words(part.name, value, names_like))
    if isinstance(part, Not):
        return _without([facet_any(EVERYTHING)], [_part(part.part, names_like)])
    if part.is_any:
        return "(" + " OR ".join(_part(one, names_like) for one in part.parts) + ")"
    return "(" + match_of(part, names_like) + ")"


def facet_words(name: str, value: str, names_like: NamesLike) -> list[str]:
    """Return the words of the index that a filter's value means; none where nothing is called so."""
    if name == "tool":
        return names_like(name, value) if "*" in value or "?" in value else [tool_facet(value)]
    if name == "is":
        return [{"error": ERROR, "sidechain": SIDECHAIN}[value]]
    if name == "in":
        return [f"k{kind.value}" for kind in PLACES[value]]
    if name == "has":
        return [f"h{value}"]
    return names_like(name, value)


def _without(wanted: list[str], unwanted: list[str]) -> str:
    found = " AND ".join(wanted)
    return f"({found}) NOT ({' OR '.join(unwanted)})" if unwanted else found
