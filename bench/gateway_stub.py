"""An engine that only streams: small tokens, one each 10 ms, or one short whole answer. See gateway.py.

python -m bench.gateway_stub PORT
"""

from __future__ import annotations

import asyncio
import json
import sys


def _event(**fields: object) -> bytes:
    told = {"id": "1", "object": "chat.completion.chunk", **fields}
    return b"data: " + json.dumps(told, separators=(",", ":")).encode() + b"\n\n"


TOKEN = _event(choices=[{"index": 0, "delta": {"content": "word "}}])
USAGE = _event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 9})
DONE = b"data: [DONE]\n\n"
MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "Hello"}}
WHOLE = json.dumps(
    {"id": "1", "choices": [MESSAGE], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}
).encode()
HEAD_WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(WHOLE)
HEAD_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN_SECONDS = 0.01


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection until it closes."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            asked = json.loads(await reader.readexactly(length))
            if not asked.get("stream"):
                writer.write(HEAD_WHOLE + WHOLE)
                continue
            writer.write(HEAD_STREAM)
            for _ in range(asked["max_tokens"]):
                writer.write(_chunk(TOKEN))
                await asyncio.sleep(TOKEN_SECONDS)
            if (asked.get("stream_options") or {}).get("include_usage"):
                writer.write(_chunk(USAGE))
            writer.write(_chunk(DONE) + _chunk(b""))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
