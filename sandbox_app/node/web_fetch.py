"""web_fetch: one page or answer, by the guarded way out, read in a child process."""

from __future__ import annotations

import json
from typing import Any

from sandbox_app.job import Ending
from sandbox_app.node.host_runs import HostRun
from sandbox_app.node.page_reader import PageReader
from sparkweb.adapters.egress_answers import WHOLE_SECONDS, Fetched, FetchOrder
from sparkweb.adapters.egress_rules import url_shown

EXTRACTS = ("text", "json", "html", "links", "images", "meta")
CHARACTERS = (20_000, 100_000)  # default and most


def web_fetch(run: HostRun, arguments: dict[str, Any]) -> Ending:
    """Fetch `url` and return what `extract` names of it.

    Arguments: url, method, headers, body, extract, selector, max_chars, offset,
    timeout (seconds). An answer of 404 or 500 is an answer: its status stands in the result.
    """
    extract = str(arguments.get("extract") or "text")
    if extract not in EXTRACTS:
        return run.ending("exit", f"extract is one of {', '.join(EXTRACTS)}, not {extract[:40]!r}.")
    order = _order(run, arguments)
    run.note(f"{order.method} {url_shown(order.url)}")
    with PageReader(run.cancelled) as reader:
        (answer,) = run.fetch_all([order])
        if answer.trouble:
            return run.trouble(answer)
        run.note(f"{answer.status}, {len(answer.body)} bytes; reading")
        return _read(run, reader, answer, extract, arguments)


def _order(run: HostRun, arguments: dict[str, Any]) -> FetchOrder:
    headers = {str(name): str(value) for name, value in (arguments.get("headers") or {}).items()}
    body = arguments.get("body")
    if isinstance(body, dict | list):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    return FetchOrder(
        url=str(arguments["url"]).strip(),
        hosts=run.job.policy.egress,
        method=str(arguments.get("method") or "GET").upper(),
        headers=headers,
        body=str(body).encode("utf-8", "replace") if body not in (None, "") else None,
        whole_seconds=min(float(arguments.get("timeout") or WHOLE_SECONDS), run.seconds_left()),
    )


def _read(
    run: HostRun, reader: PageReader, answer: Fetched, extract: str, arguments: dict[str, Any]
) -> Ending:
    facts: dict[str, Any] = {
        "url": url_shown(answer.url),
        "status": answer.status,
        "media_type": answer.media_type,
        "bytes": len(answer.body),
    }
    if not answer.body:
        return run.ending("ok", stdout=f"Status {answer.status}, without a body.", result=facts)
    default, most = CHARACTERS
    offset = max(0, int(arguments.get("offset") or 0))
    page = reader.read(
        answer.body,
        extract=extract,
        url=answer.url,
        media_type=answer.media_type if "content-type" in answer.headers else "",
        charset=answer.charset,
        selector=str(arguments.get("selector") or ""),
        offset=offset,
        most_characters=min(most, max(1, int(arguments.get("max_chars") or default))),
    )
    if problem := page.get("problem"):
        return run.ending("exit", problem, result=facts)
    end = offset + len(page["text"])
    facts |= {"title": page["title"], "characters": page["characters"], "offset": offset}
    if page.get("data") is not None:
        facts["data"] = page["data"]
    text = page["text"]
    if end < page["characters"]:
        text += f"\n[{page['characters'] - end} more characters; go on with offset={end}]"
    if answer.status >= 400:
        text = f"[The server answered {answer.status}.]\n{text}"
    return run.ending("ok", stdout=text, result=facts)
