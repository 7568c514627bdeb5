"""Programs that send messages to pages, while the pages are looked after by the same thread."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator

from appengine_channel_emu.bench.page import split_answer
from appengine_channel_emu.bench.pages import Pages, connect, json_request


def message_request(sent: dict[str, object]) -> bytes:
    """A send, as an app's library has it: no browser's headers."""
    return json_request("/_emu/messages", sent)


def single_sends(pages: Pages, seed: int, wanted: Callable[[], bool]) -> Iterator[bytes]:
    """A call for each message, to pages at random, while more are `wanted`."""
    chance, names = random.Random(seed), list(pages.by_client)  # noqa: S311
    while wanted():
        yield message_request({"client_id": chance.choice(names), "message": "one of many"})


class Sender:
    """One connection; each request of `requests` is sent when the one before has been answered. Raises OSError.

    `sent` counts those that were sent, `waiting` is true until all are answered.
    """

    def __init__(self, pages: Pages, requests: Iterator[bytes]) -> None:
        self._pages = pages
        self._requests = requests
        self._sock: socket.socket | None = connect(pages.api.address)
        self._buffer = b""
        self.sent = 0
        pages.watch(self._sock, self)
        self._send_next()

    @property
    def waiting(self) -> bool:
        """Whether an answer is still to come."""
        return self._sock is not None

    def answer(self) -> None:
        """What has arrived; raises `Refused` where a send was."""
        assert self._sock is not None
        data = self._sock.recv(65536)
        if not data:
            raise ConnectionError("the server closed a sender's connection")
        self._buffer += data
        whole = split_answer(self._buffer)
        if whole is not None:
            self._buffer = whole[1]
            self._send_next()

    def _send_next(self) -> None:
        assert self._sock is not None
        request = next(self._requests, None)
        if request is None:
            self._pages.unwatch(self._sock)
            self._sock.close()
            self._sock = None
        else:
            self.sent += 1
            self._sock.sendall(request)
