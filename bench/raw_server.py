"""The least that could serve these bytes: one asyncio process that parks polls and forwards messages. The yardstick.

Speaks just enough of the wire for `pages.py`. No tokens, no resuming, no presence, no guard. Runs until it is ended.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from command_line import parser

HEAD = (
    b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nCache-Control: no-cache\r\n"
    b"Content-Type: application/json\r\nServer: raw\r\nX-Content-Type-Options: nosniff\r\n"
)
"""As the emulator's, whose polls get it early, too."""


class Channels:
    """Messages by client id, and the poll parked for each."""

    def __init__(self) -> None:
        self.messages: dict[str, list[str]] = {}
        self.parked: dict[str, Connection] = {}

    def send(self, client_id: str, text: str) -> None:
        """Queue a message, and answer the parked poll."""
        self.messages.setdefault(client_id, []).append(text)
        connection = self.parked.pop(client_id, None)
        if connection is not None:
            connection.answer_poll(client_id)


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._after = 0
        self._head_sent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            lower = head.lower()
            length = (
                int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0]) if b"content-length:" in lower else 0
            )
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._serve(head.split(b" ", 2)[1].decode(), rest[:length])

    def answer_poll(self, client_id: str) -> None:
        """Answer with all messages after the number that the poll named."""
        if self._timer is not None:
            self._timer.cancel()
        messages = self._channels.messages.get(client_id, [])
        self._answer({"messages": messages[self._after :], "next": max(self._after, len(messages))})

    def _serve(self, target: str, body: bytes) -> None:
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        if parts.path == "/_emu/channels":
            self._answer({"token": json.loads(body)["client_id"]})
        elif parts.path == "/_ah/channel/open":
            self._answer({"socket": query["channel"][0]})
        elif parts.path == "/_emu/messages":
            sent = json.loads(body)
            for client_id in sent.get("client_ids") or [sent["client_id"]]:
                self._channels.send(client_id, sent["message"])
            self._answer({"delivered_to": 1})
        elif parts.path == "/_ah/channel/poll":
            self._poll(query["socket"][0], int(query["after"][0]), float(query["wait"][0]))
        else:
            self._answer({"status": "ready"})

    def _poll(self, client_id: str, after: int, wait: float) -> None:
        self._after = after
        if len(self._channels.messages.get(client_id, [])) > after:
            self.answer_poll(client_id)
            return
        self._channels.parked[client_id] = self
        self._transport.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        self._head_sent = True
        self._timer = asyncio.get_running_loop().call_later(wait, self._expire, client_id)

    def _expire(self, client_id: str) -> None:
        if self._channels.parked.get(client_id) is self:
            del self._channels.parked[client_id]
            self.answer_poll(client_id)

    def _answer(self, body: object) -> None:
        data = json.dumps(body).encode()
        if self._head_sent:
            self._head_sent = False
            self._transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
        else:
            self._transport.write(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(data), data))


async def main() -> None:
    """Serve on a free port, and print the same ready line as the emulator."""
    channels = Channels()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(channels), "127.0.0.1", 0, backlog=4096)
    print(f"raw: ready at http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser(__doc__).parse_args()
    asyncio.run(main())
