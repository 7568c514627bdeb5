"""An app that is running already, as quick as can be: it remembers who came and went, and when.

Answers `GET /posts` with [kind, client id, seconds of time.monotonic()] of each.
"""

from __future__ import annotations

import asyncio
import json
import time
from urllib.parse import parse_qs

posts: list[tuple[str, str, float]] = []


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        found = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        length = int(found or 0)
        if not separator or len(body) < length:
            return
        self._buffer = body[length:]
        path = head.split(b" ", 2)[1].decode()
        answer = b""
        if path.startswith("/_ah/channel/"):
            posts.append((path.split("/")[3], parse_qs(body[:length].decode())["from"][0], time.monotonic()))
        elif path == "/posts":
            answer = json.dumps(posts).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))  # type: ignore[attr-defined]


async def main() -> None:
    """Serve on a free port, and print a ready line."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(f"recorder: ready at http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
