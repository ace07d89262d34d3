"""The one way out: HTTP fetches on behalf of models, each hop resolved, judged and pinned.

A name is resolved once for each hop, all its addresses are judged, and the connection
goes to exactly these, with the name in SNI and Host. A second answer of the resolver
changes nothing, for nobody asks again; the socket itself is refused to any other
address. Each redirect goes through the same gate. Proxies and .netrc of the
environment are not used, and no cookie is kept.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from sparkweb import __version__
from sparkweb.adapters.egress_answers import (
    CONNECT_SECONDS,
    EgressCancelled,
    EgressFailed,
    Fetched,
    FetchOrder,
    Verdict,
    Words,
    trouble_tell,
)
from sparkweb.adapters.egress_bytes import ACCEPTED, BodyTooLarge, body_unpack
from sparkweb.adapters.egress_rules import (
    METHODS,
    Address,
    EgressPolicy,
    EgressRefused,
    Network,
    address_read,
    addresses_check,
    headers_check,
    url_check,
    url_shown,
)
from sparkweb.adapters.own_addresses import host_networks, interface_networks

SENT_MOST_BYTES = 1 * 2**20
REDIRECTS_MOST = 5
ADDRESSES_MOST = 4
FIRST_BYTE_SECONDS = 20.0
LOOKUPS_AT_ONCE = 64
CANCEL_LOOK_SECONDS = 0.05
USER_AGENT = f"Mozilla/5.0 (compatible; SparkWeb/{__version__})"
_REDIRECTS = (301, 302, 303, 307, 308)

Lookup = Callable[[str, int], list[Address]]


def addresses_of(host: str, port: int) -> list[Address]:
    """All addresses of a name, or of an address in any notation, IPv4 first. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(address_read(str(entry[4][0])) for entry in found)
    return sorted(addresses, key=lambda address: address.version)


class Egress:
    """The guarded client. Safe for threads: one event loop of its own serves all of them.

    `own_hosts` names where SparkWeb itself answers; beside what this machine's interfaces
    have, its addresses are refused. `lookup` asks the resolver.
    """

    def __init__(
        self, policy: EgressPolicy, own_hosts: Sequence[str] = (), lookup: Lookup = addresses_of
    ) -> None:
        self.policy = policy
        self._own_hosts = tuple(own_hosts)
        self._lookup = lookup
        self._tls = ssl.create_default_context()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._lookups = asyncio.Semaphore(LOOKUPS_AT_ONCE)

    def fetch(self, order: FetchOrder, cancelled: threading.Event | None = None) -> Fetched:
        """Carry out one order; trouble is in the answer. Raises EgressCancelled."""
        return self.fetch_all([order], cancelled)[0]

    def fetch_all(
        self, orders: Sequence[FetchOrder], cancelled: threading.Event | None = None
    ) -> list[Fetched]:
        """Carry out orders side by side, each within its own time. Raises EgressCancelled."""
        running = [self._submit(self._carry_out(order)) for order in orders]
        waiting: set[concurrent.futures.Future[Fetched]] = set(running)
        try:
            while waiting:
                _, waiting = concurrent.futures.wait(waiting, timeout=CANCEL_LOOK_SECONDS)
                if self._closed or (cancelled and cancelled.is_set()):
                    raise EgressCancelled
        finally:
            for future in running:
                future.cancel()
        try:
            return [future.result() for future in running]
        except concurrent.futures.CancelledError:  # the loop ended between the last look and now
            raise EgressCancelled from None

    def close(self) -> None:
        """End the event loop; fetches in progress, and any later ones, are cancelled."""
        with self._lock:
            was_closed, self._closed = self._closed, True
            if self._loop and not was_closed:
                asyncio.run_coroutine_threadsafe(_loop_end(), self._loop)

    def _submit(self, work: Coroutine[Any, Any, Fetched]) -> concurrent.futures.Future[Fetched]:
        with self._lock:
            if self._closed:
                work.close()
                raise EgressCancelled
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_loop_run, args=[self._loop], name="egress", daemon=True).start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    # ---- one order ----

    async def _carry_out(self, order: FetchOrder) -> Fetched:
        answer = Fetched(order.url)
        try:
            async with asyncio.timeout(order.whole_seconds):
                await self._hops(order, answer)
        except TimeoutError:
            answer.trouble = EgressFailed(f"No whole answer within {order.whole_seconds:g} s.", "timeout")
        except (EgressRefused, EgressFailed) as trouble:
            answer.trouble = trouble
        if answer.trouble:
            trouble_tell(answer, answer.trouble)
        return answer

    async def _hops(self, order: FetchOrder, answer: Fetched) -> None:
        hop = _Hop(order.url, order.method, dict(order.headers), order.body)
        for number in range(REDIRECTS_MOST + 1):
            verdict: Verdict = {"url": url_shown(hop.url), "method": hop.method[:10], "redirect": number}
            verdict |= {
                "address": None,
                "verdict": None,
                "rule": "",
                "reason": "",
                "status": None,
                "bytes": 0,
            }
            answer.verdicts.append(verdict)
            began = time.monotonic()
            try:
                location = await self._hop(order, hop, answer, verdict)
            finally:
                verdict["milliseconds"] = round((time.monotonic() - began) * 1000, 1)
            if location is None:
                return
            hop = hop.redirected(answer.status, location)
        raise EgressFailed(f"More than {REDIRECTS_MOST} redirects.", "redirects")

    async def _hop(self, order: FetchOrder, hop: _Hop, answer: Fetched, verdict: Verdict) -> str | None:
        """One request; the address of a redirect, None when the answer has come."""
        if hop.method not in METHODS:
            raise EgressRefused(
                f"The method {hop.method[:20]!r} is not used; {', '.join(METHODS)} are.", "method"
            )
        if len(hop.body or b"") > SENT_MOST_BYTES:
            raise EgressRefused(f"The body has more than {SENT_MOST_BYTES} bytes.", "body")
        headers = headers_check(hop.headers)
        url = url_check(hop.url, self.policy, order.hosts)
        gate = _Gate(await self._judged(url), verdict)
        async with contextlib.AsyncExitStack() as stack:
            session = await stack.enter_async_context(self._session(gate))
            request = session.request(
                hop.method, url, headers=headers, data=hop.body, allow_redirects=False, max_redirects=0
            )
            with Words(FIRST_BYTE_SECONDS):
                async with asyncio.timeout(FIRST_BYTE_SECONDS):
                    response = await stack.enter_async_context(request)
                verdict.update(verdict="allowed", status=response.status)
                answer.url, answer.status = str(url), response.status
                location = response.headers.get("Location")
                if response.status in _REDIRECTS and location:
                    return location
            with Words(order.whole_seconds):
                await _body(order, response, answer, verdict)
        return None

    async def _judged(self, url: URL) -> list[Address]:
        """All addresses of the URL's host, once each of them may be connected to."""
        host = (url.host or "").rstrip(".")
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                addresses, own = await self._ask(self._looked_up, host, url.port or 0)
        except (OSError, UnicodeError) as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else "the name is not known"
            raise EgressFailed(f"{host} could not be resolved: {reason}.", "dns") from None
        if not addresses:
            raise EgressFailed(f"{host} has no address.", "dns")
        addresses_check(host, addresses, self.policy, own)
        return list(addresses[:ADDRESSES_MOST])

    def _looked_up(self, host: str, port: int) -> tuple[list[Address], list[Network]]:
        """The addresses of a host, and what of the network is our own. Raises OSError, UnicodeError."""
        return self._lookup(host, port), interface_networks() + host_networks(self._own_hosts)

    async def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """A resolver blocks and cannot be ended: it gets a thread that nobody waits for at the end.

        Its place is given back when the thread is through, also if nobody waits for its answer any more.
        """
        await self._lookups.acquire()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any, error: Exception | None) -> None:
            self._lookups.release()
            _settle(future, result, error)

        def work() -> None:
            try:
                result, error = function(*arguments), None
            except (OSError, ValueError) as raised:
                result, error = None, raised
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, result, error)

        threading.Thread(target=work, name="egress-lookup", daemon=True).start()
        return await future

    def _session(self, gate: _Gate) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=gate,
            socket_factory=gate.socket,
            ssl=self._tls,
            use_dns_cache=False,
            force_close=True,
            # One address after the other, so that the verdict names the one that was used.
            happy_eyeballs_delay=None,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": ACCEPTED, "Accept": "*/*"},
        )


@dataclass(frozen=True)
class _Hop:
    """What one request asks for."""

    url: str
    method: str
    headers: dict[str, str]
    body: bytes | None

    def redirected(self, status: int, location: str) -> _Hop:
        """The next hop. What its caller added goes along to the same origin alone."""
        try:
            here, target = URL(self.url), URL(self.url).join(URL(location))
            same = (here.scheme, here.host, here.port) == (target.scheme, target.host, target.port)
        except ValueError:
            raise EgressRefused("The redirect leads to no URL that can be fetched.", "url") from None
        plain = status == 303 or (status in (301, 302) and self.method == "POST")
        method = "GET" if plain and self.method != "HEAD" else self.method
        body = None if plain or not same else self.body
        return _Hop(str(target), method, self.headers if same else {}, body)


class _Gate(AbstractResolver):
    """Tells aiohttp the judged addresses alone, and makes sockets for these alone."""

    def __init__(self, addresses: list[Address], verdict: Verdict) -> None:
        self._addresses = addresses
        self._verdict = verdict

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""

    def socket(self, info: Any) -> socket.socket:
        family, kind, proto, _, target = info
        if address_read(str(target[0])) not in self._addresses:
            raise PermissionError(f"{target[0]} was not judged")
        self._verdict["address"] = str(target[0])
        return socket.socket(family, kind, proto)


async def _body(
    order: FetchOrder, response: aiohttp.ClientResponse, answer: Fetched, verdict: Verdict
) -> None:
    answer.headers = {name.lower(): value for name, value in response.headers.items()}
    answer.media_type, answer.charset = response.content_type, response.charset
    packed = bytearray()
    if order.method != "HEAD":
        async for piece in response.content.iter_chunked(65_536):
            packed += piece
            verdict["bytes"] = len(packed)
            if len(packed) > order.limit_bytes:
                raise BodyTooLarge
    encoding = response.headers.get("Content-Encoding", "")
    answer.body = await asyncio.to_thread(body_unpack, bytes(packed), encoding, order.limit_bytes)


def _loop_run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


async def _loop_end() -> None:
    """Cancel all that runs, let it end, and stop the loop."""
    loop = asyncio.get_running_loop()
    others = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    loop.call_soon(loop.stop)


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
