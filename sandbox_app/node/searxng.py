"""SearXNG, asked for JSON: the owner's own service, reached although it is private, and nothing else by it.

Source: SearXNG's Search API documentation, and its searx/webutils.py for the fields of the JSON.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from sandbox_app.node.host_runs import HostRun
from sandbox_app.node.plain_text import clean
from sparkweb.adapters.egress import Egress
from sparkweb.adapters.egress_answers import Fetched, FetchOrder
from sparkweb.adapters.egress_rules import policy_make

ASK_SECONDS = 15.0
ANSWER_MOST_BYTES = 4 * 2**20
EVERY_NETWORK = ("0.0.0.0/0", "::/0")
SAID_MOST_CHARACTERS = 1_000
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")


class SearchFailed(Exception):
    """SearXNG gave no results that can be used; the sentence says what to do."""


@dataclass
class Found:
    """One answer of SearXNG; results have title, url, snippet, engines, published."""

    results: list[dict[str, Any]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    suggestions: list[str] = field(default_factory=list)
    unresponsive: list[dict[str, str]] = field(default_factory=list)


class Searxng:
    """One SearXNG by its address; its client may go to that host and port alone."""

    def __init__(self, url: str) -> None:
        self.url = url
        base = URL(url)
        self._host = base.host or ""
        self._search = base / "search"
        self._egress = Egress(policy_make(ports=[base.port or 80], networks=EVERY_NETWORK))

    def close(self) -> None:
        self._egress.close()

    def ask(self, run: HostRun, parameters: dict[str, str]) -> Found:
        """One page of results. Raises SearchFailed, EgressCancelled."""
        order = FetchOrder(
            url=str(self._search.with_query({**parameters, "format": "json"})),
            hosts=(self._host,),
            headers={"Accept": "application/json"},
            limit_bytes=ANSWER_MOST_BYTES,
            whole_seconds=min(ASK_SECONDS, run.seconds_left()),
        )
        (answer,) = run.fetch_all([order], self._egress)
        if answer.trouble:
            raise SearchFailed(
                f"SearXNG at {self.url} does not answer: {answer.trouble} Start it on the page Services, or "
                "set SEARXNG_URL to yours (docs/web-search.md)."
            )
        return found_read(self._body(answer))

    def _body(self, answer: Fetched) -> dict[str, Any]:
        if answer.status == 403:
            raise SearchFailed(
                f"SearXNG at {self.url} does not give JSON (403): add json to search.formats in its "
                "settings.yml (docs/web-search.md)."
            )
        if answer.status == 429:
            raise SearchFailed(
                f"SearXNG at {self.url} lets nobody ask this often (429): turn its limiter off."
            )
        if answer.status != 200:
            raise SearchFailed(f"SearXNG at {self.url} answered {answer.status}.")
        try:
            body = json.loads(answer.body)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or not isinstance(body.get("results"), list):
            raise SearchFailed(f"What answers at {self.url} is no SearXNG: no JSON with results.")
        return body


def found_read(body: dict[str, Any]) -> Found:
    """The parts of SearXNG's JSON that are used; odd entries are left out."""
    found = Found()
    seen: set[str] = set()
    for entry in body["results"]:
        url = _said(entry.get("url")) if isinstance(entry, dict) else ""
        if url.startswith(("http://", "https://")) and url not in seen:
            seen.add(url)
            found.results.append(_result(entry, url))
    for answer in _list(body.get("answers")):
        text = answer.get("answer") if isinstance(answer, dict) else answer
        if said := _said(text):
            found.answers.append(said)
    found.suggestions = [said for word in _list(body.get("suggestions")) if (said := _said(word))][:10]
    for pair in _list(body.get("unresponsive_engines")):
        if isinstance(pair, list) and len(pair) >= 2:
            found.unresponsive.append({"engine": _said(pair[0]), "reason": _said(pair[1])})
    return found


def _result(entry: dict[str, Any], url: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "title": _said(entry.get("title")),
        "url": url,
        "snippet": _said(html.unescape(_TAG.sub("", str(entry.get("content") or "")))),
        "engines": [_said(name) for name in _list(entry.get("engines"))][:10],
    }
    if published := _said(entry.get("publishedDate")):
        result["published"] = published
    return result


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _said(value: Any) -> str:
    return clean(" ".join(value.split()))[:SAID_MOST_CHARACTERS] if isinstance(value, str) else ""
