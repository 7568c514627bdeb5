"""Pages of the SDK's dev server: each asks for a message 500 ms after the last answer, as its script does."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlsplit

POLL_SECONDS = 0.5
CONNECTIONS = 32
"""At once, kept, shared by all pages as a browser's tabs share its six. With one for each page the dev server, which
gives each a thread, is slower still."""
OPENED_A_SECOND = 20
ATTEMPTS = 3
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class PolledPages:
    """The pages, on a thread of their own; (client id, message, time of arrival) go into `arrivals`.

    A page whose poll is answered with anything but 200 is closed for good, as with the SDK's script.
    """

    def __init__(self, url: str, most: int) -> None:
        """Gets tokens for `most` pages before the first one polls: later the server would take minutes for them."""
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._idle: list[Connection] = []
        self._allowed = asyncio.Semaphore(CONNECTIONS)
        self._pages: list[asyncio.Task[None]] = []
        self.arrivals: queue.Queue[tuple[str, str, float]] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._tokens = self._do(self._get_tokens(most))

    def open(self, count: int) -> None:
        """Open `count` more pages, one after the other; returns when all have connected. Raises OSError."""
        self._do(self._open(count))

    def stop(self) -> None:
        """Close all."""
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _do(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _get_tokens(self, count: int) -> list[str]:
        return [await self._get(f"/token/page-{number}") for number in range(count)]

    async def _open(self, count: int) -> None:
        connecting = []
        for _ in range(count):
            number = len(self._pages)
            connected = asyncio.Event()
            self._pages.append(asyncio.create_task(self._live(f"page-{number}", self._tokens[number], connected)))
            connecting.append(connected.wait())
            await asyncio.sleep(1 / OPENED_A_SECOND)
        await asyncio.gather(*connecting)

    async def _live(self, client_id: str, token: str, connected: asyncio.Event) -> None:
        try:
            await self._get(f"/_ah/channel/dev?command=connect&channel={token}")
        finally:
            connected.set()
        while True:
            message = await self._get(f"/_ah/channel/dev?command=poll&channel={token}")
            if message:
                self.arrivals.put((client_id, message, time.time()))
            await asyncio.sleep(POLL_SECONDS)

    async def _get(self, path: str) -> str:
        """The body; once more on a new connection where the server has closed a kept one. Raises OSError."""
        async with self._allowed:
            for attempt in range(ATTEMPTS):
                kept = self._idle.pop() if self._idle and not attempt else None
                try:
                    return await self._get_over(kept or await asyncio.open_connection(*self._address), path)
                except (ConnectionError, asyncio.IncompleteReadError):
                    continue
        raise ConnectionError(f"{path}: no answer")

    async def _get_over(self, connection: Connection, path: str) -> str:
        reader, writer = connection
        kept = False
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if " 200 " not in head.split("\r\n")[0]:
                raise OSError(f"{path}: {head}")
            length = int(head.lower().partition("content-length:")[2].split("\r\n", 1)[0])
            body = await reader.readexactly(length)
            kept = "connection: close" not in head.lower()
            return body.decode()
        finally:
            if kept:
                self._idle.append(connection)
            else:
                writer.close()

    async def _stop(self) -> None:
        for page in self._pages:
            page.cancel()
        ends = await asyncio.gather(*self._pages, return_exceptions=True)
        failures = [end for end in ends if isinstance(end, Exception)]
        if failures:
            print(f"{len(failures)} pages of the dev server were closed by an error: {failures[0]}", file=sys.stderr)
        for _, writer in self._idle:
            writer.close()
