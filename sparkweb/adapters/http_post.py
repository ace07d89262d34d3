"""One POST to an address outside, with a limit on everything: time, answer, redirects."""

from __future__ import annotations

import asyncio
import os
import socket

import aiohttp

TOTAL_SECONDS = 10.0
CONNECT_SECONDS = 5.0
ANSWER_LIMIT_BYTES = 65_536


class PostFailed(Exception):
    """Nobody took it: no connection, no answer in time, or none that is HTTP. Names no address."""


def post(url: str, body: bytes, headers: dict[str, str], total_seconds: float = TOTAL_SECONDS) -> int:
    """Send `body` and return the status of the answer, whatever it is.

    Redirects are not followed, proxies of the environment not used, the answer
    is read only so far that the connection ends well. Raises PostFailed.
    """
    return asyncio.run(_post(url, body, headers, total_seconds))


async def _post(url: str, body: bytes, headers: dict[str, str], total_seconds: float) -> int:
    no_cookies = aiohttp.DummyCookieJar()
    limits = aiohttp.ClientTimeout(total=total_seconds, connect=min(CONNECT_SECONDS, total_seconds))
    try:
        async with (
            aiohttp.ClientSession(timeout=limits, trust_env=False, cookie_jar=no_cookies) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            await answer.content.read(ANSWER_LIMIT_BYTES)
            return answer.status
    except TimeoutError:
        raise PostFailed(f"No answer within {total_seconds:g} s") from None
    except aiohttp.ClientSSLError:
        raise PostFailed("Its certificate is not trusted") from None
    except aiohttp.ClientConnectorError as error:
        raise PostFailed(f"No connection: {_why(error.os_error)}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise PostFailed(f"The answer broke off: {type(error).__name__}") from None


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the name is not known"
    return os.strerror(error.errno) if error.errno else type(error).__name__
