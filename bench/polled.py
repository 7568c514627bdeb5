"""Pages of the SDK's dev server: each asks for a message every 500 ms after the last answer, as its script does."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from urllib.parse import urlsplit

POLL_SECONDS = 0.5
CONNECTIONS = 32
"""At once: the dev server has a limited number of threads, and a kept connection holds one."""
OPENED_A_SECOND = 20


class PolledPages:
    """The pages, on a thread of their own; (client id, message, time of arrival) go into `arrivals`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._loop = asyncio.new_event_loop()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._allowed = asyncio.Semaphore(CONNECTIONS)
        self._tasks: list[asyncio.Task[None]] = []
        self._count = 0
        self.arrivals: queue.Queue[tuple[str, str, float]] = queue.Queue()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def open(self, count: int) -> None:
        """Open `count` more pages, slowly; returns when all have connected."""
        asyncio.run_coroutine_threadsafe(self._open(count), self._loop).result()

    def stop(self) -> None:
        """Stop polling."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _open(self, count: int) -> None:
        for _ in range(count):
            client_id = f"page-{self._count}"
            self._count += 1
            token = await self._get(f"/token/{client_id}")
            await self._get(f"/_ah/channel/dev?command=connect&channel={token}")
            self._tasks.append(asyncio.create_task(self._keep_polling(client_id, token)))
            await asyncio.sleep(1 / OPENED_A_SECOND)

    async def _keep_polling(self, client_id: str, token: str) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                message = await self._get(f"/_ah/channel/dev?command=poll&channel={token}")
                if message:
                    self.arrivals.put((client_id, message, time.time()))

    async def _get(self, path: str) -> str:
        async with self._allowed:
            reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            assert " 200 " in head.split("\r\n")[0], head
            length = int(head.lower().partition("content-length:")[2].split("\r\n", 1)[0])
            body = await reader.readexactly(length)
            if "connection: close" in head.lower():
                writer.close()
            else:
                self._idle.append((reader, writer))
            return body.decode()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _, writer in self._idle:
            writer.close()
