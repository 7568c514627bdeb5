"""What a server must do whose `open` says that it streams: the WebSocket of behaviour.md 5 and its turns with polls."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from wsproto.extensions import PerMessageDeflate

from appengine_channel_emu.conformance.checks import EXPIRY_SLACK, PUSH_SECONDS
from appengine_channel_emu.conformance.results import Checks, Result, new_name, passed_if
from appengine_channel_emu.conformance.server import CheckedServer, NotServed
from appengine_channel_emu.testing.stream import ClientStream
from appengine_channel_emu.testing.transports import EmulatorAway

FRAME_SECONDS = 5.0
"""How long anything may take that is to come at once."""
NO_STREAM = Result("not checked", "this server does not say that it streams")

checks = Checks()


class CheckedPage:
    """A page with a socket at a server that streams."""

    def __init__(self, server: CheckedServer, client_id: str, opened: dict[str, Any]) -> None:
        self.server = server
        self._client_id = client_id
        self.socket = str(opened["socket"])

    def send(self, *messages: str) -> None:
        """What the app does."""
        for message in messages:
            self.server.send(self._client_id, message)

    def stream(self, after: int = 0) -> ClientStream:
        """A stream with its first frame read."""
        stream = self.server.stream(self.socket, after)
        stream.receive(FRAME_SECONDS)
        return stream

    def poll(self, after: int, wait: float = 1.0) -> Any:
        """A poll's answer."""
        return self.server.json("/_ah/channel/poll", socket=self.socket, after=after, wait=wait)


StreamCheck = Callable[[CheckedPage], Result]


def check(title: str, minutes: int | None = None) -> Callable[[StreamCheck], StreamCheck]:
    """Add a check of a page, where the server streams; one whose token has `minutes` to run out is slow."""

    def add(function: StreamCheck) -> StreamCheck:
        def with_a_page(server: CheckedServer) -> Result:
            name = new_name()
            opened = server.json("/_ah/channel/open", channel=server.token(name, minutes))
            streams = opened is not None and opened.get("stream") is True
            return function(CheckedPage(server, name, opened)) if streams else NO_STREAM

        checks(title, slow=minutes is not None)(with_a_page)
        return function

    return add


def _messages(stream: ClientStream, count: int) -> list[str]:
    """The next `count` messages, or those that come within `FRAME_SECONDS` each."""
    messages: list[str] = []
    while len(messages) < count and (frame := stream.receive(FRAME_SECONDS)) is not None:
        messages += frame.get("messages", [])
    return messages


def _ends(stream: ClientStream) -> bool:
    """Whether a stream has ended, or does so at once."""
    try:
        while stream.receive(FRAME_SECONDS) is not None:
            pass
    except EmulatorAway:
        return True
    return False


@check("stream: an upgrade, no extension taken, and a frame at once")
def _upgrade(page: CheckedPage) -> Result:
    stream = page.server.stream(page.socket, offers=[PerMessageDeflate()])
    frame = stream.receive(FRAME_SECONDS)
    fine = frame == {"messages": [], "next": 0} and not stream.extensions
    return passed_if(fine, f"first frame {frame}, extensions {stream.extensions}")


@check("stream: without an upgrade 426")
def _no_upgrade(page: CheckedPage) -> Result:
    answer = page.server.get("/_ah/channel/stream", socket=page.socket, after=0)
    version = answer.headers.get("Sec-WebSocket-Version")
    return passed_if((answer.status, version) == (426, "13"), f"{answer.status}, version {version}")


@check("stream: a message reaches the page within 0.1 s")
def _push(page: CheckedPage) -> Result:
    stream = page.stream()
    took = []
    for number in range(3):  # The best of three, as of polls.
        sent = time.monotonic()
        page.send("x")
        if _messages(stream, 1) != ["x"]:
            return Result("failed", "it did not come")
        took.append(time.monotonic() - sent)
        stream.acknowledge(number + 1)
    return passed_if(min(took) < PUSH_SECONDS, f"{min(took):.2f} s")


@check("stream: what the page has not acknowledged comes again, over a poll and over a stream")
def _resume(page: CheckedPage) -> Result:
    stream = page.stream()
    page.send("a", "b")
    received: list[Any] = [_messages(stream, 2)]
    stream.vanish()
    received.append((page.poll(0) or {}).get("messages"))
    page.send("c")
    stream = page.server.stream(page.socket, 1)
    received.append(_messages(stream, 2))
    stream.acknowledge(3)
    stream.vanish()
    received.append((page.poll(3, 0) or {}).get("messages"))
    return passed_if(received == [["a", "b"], ["a", "b"], ["b", "c"], []], f"received {received}")


@check("stream: it takes over from a poll; a poll and another stream from it")
def _takeover(page: CheckedPage) -> Result:
    answers: list[Any] = []

    def wait() -> None:
        # The stream may be what fails; then nobody looks at the poll's end.
        with contextlib.suppress(NotServed):
            answers.append(page.poll(0, 8))

    poll = threading.Thread(target=wait, daemon=True)
    poll.start()
    time.sleep(0.3)  # until the poll waits at the server
    first = page.stream()
    poll.join(FRAME_SECONDS)
    if answers != [{"messages": [], "next": 0}]:
        return Result("failed", f"the poll was answered {answers or 'nothing'}")
    second = page.stream()
    if not _ends(first):
        return Result("failed", "the older stream goes on")
    polled = page.poll(0, 0)
    return passed_if(polled == {"messages": [], "next": 0} and _ends(second), f"polled {polled}, or the stream goes on")


@check("stream: a number that was never sent ends the socket with 410")
def _never_sent(page: CheckedPage) -> Result:
    stream = page.stream()
    stream.acknowledge(99)
    frame = stream.receive(FRAME_SECONDS) or {}
    return passed_if(frame.get("error") == 410, f"received {frame}")


@check("expiry: a token of one minute ends an open stream with 401 Token+timed+out.", minutes=1)
def _expiry(page: CheckedPage) -> Result:
    give_up = time.monotonic() + 60 + EXPIRY_SLACK
    stream = page.stream()
    while (left := give_up - time.monotonic()) > 0:
        frame = stream.receive(left) or {}
        if "error" in frame:
            seen = f"{frame['error']} {frame.get('reason')}"
            return passed_if(seen == "401 Token+timed+out." and _ends(stream), seen)
    return Result("failed", f"it still worked {EXPIRY_SLACK:g} s after its minute")
