"""web_search: SearXNG's results, the first of them read, and which engines did not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from sandbox_app.job import Ending
from sandbox_app.node.host_runs import HostRun
from sandbox_app.node.page_reader import PageReader
from sandbox_app.node.searxng import Found, SearchFailed, Searxng
from sparkweb.adapters.egress_answers import Fetched, FetchOrder

RESULTS = (5, 20)  # default and most
READ_MOST = 3
READ_SECONDS = 8.0
READ_BYTES = 2 * 2**20
READ_CHARACTERS = 1_500
CACHE_SECONDS = 300.0
CACHE_MOST = 200
_PASSED_ON = ("language", "time_range", "categories")


class SearchCache:
    """Answers of the last minutes, by what was asked; in this process alone. Safe for threads."""

    def __init__(self, seconds: float = CACHE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._kept: dict[Any, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def get(self, key: Any) -> Any:
        """What is kept and fresh, else None."""
        with self._lock:
            at, value = self._kept.get(key, (0.0, None))
            return value if value is not None and self._clock() - at < self._seconds else None

    def put(self, key: Any, value: Any) -> None:
        """Keep it; the oldest goes when there are too many."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (self._clock(), value)
            while len(self._kept) > CACHE_MOST:
                del self._kept[next(iter(self._kept))]


class WebSearch:
    """The runner: one SearXNG, one cache."""

    def __init__(self, searxng: Searxng, cache: SearchCache | None = None) -> None:
        self._searxng = searxng
        self._cache = cache or SearchCache()

    def __call__(self, run: HostRun, arguments: dict[str, Any]) -> Ending:
        """Search for `query`.

        Arguments: query, max_results, read (how many results to read, 0 to 3), language,
        time_range (day, month, year), categories, page.
        """
        query = " ".join(str(arguments.get("query") or "").split())
        if not query:
            return run.ending("exit", "The query is empty.")
        default, most = RESULTS
        wanted = min(most, max(1, int(arguments.get("max_results") or default)))
        given = arguments.get("read")
        read = READ_MOST if given is None else min(READ_MOST, max(0, int(given)))
        try:
            found, cached = self._asked(run, query, arguments)
        except SearchFailed as failure:
            return run.ending("exit", str(failure))
        results = [dict(result) for result in found.results[:wanted]]
        self._read_first(run, results[:read])
        return self._told(run, query, found, results, cached)

    def _asked(self, run: HostRun, query: str, arguments: dict[str, Any]) -> tuple[Found, bool]:
        parameters = {"q": query, "pageno": str(max(1, int(arguments.get("page") or 1)))}
        parameters |= {name: str(arguments[name]) for name in _PASSED_ON if arguments.get(name)}
        key = tuple(sorted(parameters.items()))
        kept: Found | None = self._cache.get(key)
        if kept is not None:
            return kept, True
        run.note(f"Asking SearXNG: {query}")
        found = self._searxng.ask(run, parameters)
        if found.results:  # an empty answer may be full a moment later
            self._cache.put(key, found)
        return found, False

    def _read_first(self, run: HostRun, results: list[dict[str, Any]]) -> None:
        """Put what their pages say beside the first results, where that comes in time."""
        for result in results:
            if (text := self._cache.get(("page", result["url"]))) is not None:
                result["text"] = text
        missing = [result for result in results if "text" not in result]
        if not missing:
            return
        run.note(f"Reading {len(missing)} pages")
        seconds = min(READ_SECONDS, run.seconds_left() / 2)
        until = time.monotonic() + 2 * seconds
        with PageReader(run.cancelled) as reader:
            orders = [
                FetchOrder(
                    url=result["url"],
                    hosts=run.job.policy.egress,
                    limit_bytes=READ_BYTES,
                    whole_seconds=seconds,
                )
                for result in missing
            ]
            for result, answer in zip(missing, run.fetch_all(orders), strict=True):
                text, problem = _page_text(reader, answer, until)
                if text:
                    result["text"] = text
                    self._cache.put(("page", result["url"]), text)
                else:
                    result["text_problem"] = problem

    def _told(
        self, run: HostRun, query: str, found: Found, results: list[dict[str, Any]], cached: bool
    ) -> Ending:
        silent = ", ".join(f"{entry['engine']} ({entry['reason']})" for entry in found.unresponsive)
        result = {
            "query": query,
            "results": results,
            "count": len(results),
            "answers": found.answers,
            "suggestions": found.suggestions,
            "unresponsive_engines": found.unresponsive,
            "cached": cached,
        }
        if not results and not found.answers:
            if silent:
                reason = f"Nothing was found, and these search engines did not answer: {silent}."
                return run.ending("exit", reason, result=result)
            return run.ending("ok", stdout=f"Nothing was found for {query!r}.", result=result)
        parts = [*found.answers, *(_entry(number, one) for number, one in enumerate(results, 1))]
        if silent:
            parts.append(f"Search engines that did not answer: {silent}.")
        return run.ending("ok", stdout="\n\n".join(parts), result=result)


def _page_text(reader: PageReader, answer: Fetched, until: float) -> tuple[str, str]:
    """What a page says, or why that is not told."""
    if answer.trouble or answer.status != 200:
        return "", str(answer.trouble or f"The server answered {answer.status}.")
    page = reader.read(
        answer.body,
        extract="text",
        url=answer.url,
        media_type=answer.media_type,
        charset=answer.charset,
        most_characters=READ_CHARACTERS,
        seconds=until - time.monotonic(),
    )
    return page.get("text", ""), page.get("problem") or "The page has no text."


def _entry(number: int, result: dict[str, Any]) -> str:
    lines = [f"{number}. {result['title'] or result['url']}", result["url"]]
    lines += [result[name] for name in ("published", "snippet", "text") if result.get(name)]
    return "\n".join(lines)
