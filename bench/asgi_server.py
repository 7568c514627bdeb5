"""What many would write today: falcon.asgi on uvicorn, which parks polls and forwards messages. To compare with.

    python bench/asgi_server.py [--parser httptools|h11]

The same wire as `raw_server.py`, written as falcon's documentation shows: resources, media, a future for each poll.
Runs until it is ended.
"""

from __future__ import annotations

import asyncio
import socket

import falcon.asgi
import uvicorn
from command_line import parser

HEADERS = [
    ("Access-Control-Allow-Origin", "*"),
    ("Cache-Control", "no-cache"),
    ("X-Content-Type-Options", "nosniff"),
]


class Channels:
    """Messages by client id, and what the poll parked for each waits for."""

    def __init__(self) -> None:
        self.messages: dict[str, list[str]] = {}
        self.parked: dict[str, asyncio.Future[None]] = {}

    def send(self, client_id: str, text: str) -> None:
        """Queue a message, and wake the parked poll."""
        self.messages.setdefault(client_id, []).append(text)
        parked = self.parked.pop(client_id, None)
        if parked is not None and not parked.done():
            parked.set_result(None)

    async def after(self, client_id: str, number: int, wait: float) -> list[str]:
        """The messages after that number; it waits for one."""
        if len(self.messages.get(client_id, [])) <= number:
            parked = self.parked[client_id] = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(parked, wait)
            except asyncio.TimeoutError:
                self.parked.pop(client_id, None)
        return self.messages.get(client_id, [])[number:]


class Tokens:
    """`POST /_emu/channels`"""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.media = {"token": (await req.get_media())["client_id"]}


class Sockets:
    """`GET /_ah/channel/open`"""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.media = {"socket": req.get_param("channel", required=True)}


class Messages:
    """`POST /_emu/messages`"""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        sent = await req.get_media()
        for client_id in sent.get("client_ids") or [sent["client_id"]]:
            self._channels.send(client_id, sent["message"])
        resp.media = {"delivered_to": 1}


class Polls:
    """`GET /_ah/channel/poll`"""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        after = req.get_param_as_int("after", required=True)
        wait = req.get_param_as_float("wait", required=True)
        messages = await self._channels.after(req.get_param("socket", required=True), after, wait)
        resp.set_headers(HEADERS)
        resp.media = {"messages": messages, "next": after + len(messages)}


def application() -> falcon.asgi.App:
    """The ASGI application."""
    channels, made = Channels(), falcon.asgi.App()
    made.add_route("/_emu/channels", Tokens())
    made.add_route("/_emu/messages", Messages(channels))
    made.add_route("/_ah/channel/open", Sockets())
    made.add_route("/_ah/channel/poll", Polls(channels))
    return made


async def main() -> None:
    """Serve on a free port, and print the same ready line as the emulator."""
    made = parser(__doc__)
    made.add_argument("--parser", choices=["httptools", "h11"], default="httptools")
    options = made.parse_args()
    # At the end polls are parked still, of which nobody waits for the answer.
    config = uvicorn.Config(
        application(),
        http=options.parser,
        loop="asyncio",
        lifespan="off",
        access_log=False,
        log_level="critical",
        backlog=4096,
        timeout_graceful_shutdown=0,
        timeout_keep_alive=3_600,
    )
    # Of this protocol by name, as asyncio makes its own: it sets TCP_NODELAY on no other.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(4096)
        print(f"asgi: ready at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        await uvicorn.Server(config).serve([listener])


if __name__ == "__main__":
    asyncio.run(main())
