"""Which requests take the short path, below WSGI, and why these: the one place that says so.

Polls and sends come by thousands in a second, and most of what they cost over WSGI is spent on what they do not need.
So exactly these are answered on the loop as they arrive, without waitress and Falcon:

- `GET /_ah/channel/poll` with the parameters that our browser client sends, in its order;
- `POST /_emu/messages` and `POST /rpc_http`, which send to pages, with a body of at most 64 KiB;

whole, alone in what was read at once, of HTTP/1.1, on a connection that is kept. Content-Length alone says where a body
ends; nothing asks for Expect, Upgrade or a fault. What waitress reads in a head decides, not a parser of our own: most
of what heads say is the same, so it is remembered.

Everything else takes the long path, as does what `web/short.py` does not answer: **the same bytes have the same
answer** on both. There is no short path behind a trusted proxy, whose headers say who asks.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

from appengine_channel_emu.server.parser import RequestParser
from appengine_channel_emu.web.channel.wires import AskedPoll
from appengine_channel_emu.web.guard import LONGEST_POLL, POLL_PATH
from appengine_channel_emu.web.short import ShortAnswers
from appengine_channel_emu.web.waiting import OwnAnswer
from appengine_channel_emu.web.wsgi import browser

LARGEST_POLL = 8 * 1024
"""Bytes of a poll, and of the head of a send."""

LARGEST_SEND = 64 * 1024
"""Bytes of a body."""

HEADS_REMEMBERED = 512
LONGEST_REMEMBERED = 2 * 1024
"""Heads, and bytes of one, that are kept with what they say."""

_POLL = re.compile(
    rb"GET /_ah/channel/poll\?socket=([A-Za-z0-9_-]{1,64})&after=([0-9]{1,15})&wait=([0-9]{1,5}(?:\.[0-9]{1,6})?)"
    rb"(&early=1)?(&pauses=1)? HTTP/1\.1(?=\r\n)"
)
_SENDS = {b"POST /_emu/messages HTTP/1.1": "/_emu/messages", b"POST /rpc_http HTTP/1.1": "/rpc_http"}
BEGINNINGS = (b"GET /_ah/channel/poll?", *_SENDS)
"""Of all that takes the short path."""

# What differs from browser to browser, and from send to send, so that the rest of a head is one of few.
_AGENT = b"\r\nUser-Agent: "
_LENGTH = b"\r\nContent-Length: "

_FORBIDDEN = frozenset({"CONTENT_LENGTH", "TRANSFER_ENCODING", "EXPECT", "UPGRADE"})


class _KnownHead(NamedTuple):
    """What a head says that may take the short path: its User-Agent, unless that was cut out of it."""

    agent: str | None
    known: dict[str, str]
    """Who asks, and for what, as in an environ."""


class ShortPath:
    """Answers what takes the short path, by `answers`; `adjustments` are waitress's."""

    def __init__(self, answers: ShortAnswers, adjustments: Any) -> None:
        self._answers = answers
        self._adjustments = adjustments
        self._remembered = functools.lru_cache(HEADS_REMEMBERED)(self._read_head)

    def answer(self, data: bytes, address: str) -> OwnAnswer | None:
        """The answer to `data`, which came from `address`; None, and nothing done, where it takes the long path."""
        asked = _POLL.match(data)
        if asked is not None:
            return self._poll(asked, data, address)
        path = _SENDS.get(data[: data.find(b"\r\n")])
        return None if path is None else self._send(path, data, address)

    def is_whole(self, data: bytes) -> bool:
        """Whether a send need not be read further: all that its head announces is there, or it takes the long path."""
        end = data.find(b"\r\n\r\n")
        length = _cut(data[:end], _LENGTH)[0] if end >= 0 else None
        return length is None or not length.isdigit() or len(data) - end - 4 >= min(int(length[:9]), LARGEST_SEND)

    def _poll(self, asked: re.Match[bytes], data: bytes, address: str) -> OwnAnswer | None:
        if len(data) > LARGEST_POLL or not data.endswith(b"\r\n\r\n"):
            return None
        agent, head = _cut(data[asked.end() :], _AGENT)
        known = self._known("GET", POLL_PATH, head, address, len(data))
        if known is None or (agent is not None and known.agent is not None):
            return None
        if agent is not None and not _is_plain(agent):
            return None
        name = known.agent if agent is None else agent.decode("ascii")
        socket_id, after, seconds, early, pauses = asked.groups()
        poll = AskedPoll(
            socket_id.decode("ascii"),
            int(after),
            min(float(seconds), LONGEST_POLL),
            early is not None,
            pauses is not None,
        )
        return self._answers.poll(poll, browser(address, name) if name else None, known.known)

    def _send(self, path: str, data: bytes, address: str) -> OwnAnswer | None:
        end = data.find(b"\r\n\r\n") + 4
        body = data[end:]
        if not 4 <= end <= LARGEST_POLL or not 0 < len(body) <= LARGEST_SEND:
            return None
        length, head = _cut(data[data.find(b"\r\n") : end], _LENGTH)
        if length is None or length != b"%d" % len(body):
            return None
        if len(body) >= self._adjustments.max_request_body_size:
            return None
        known = self._known("POST", path, head, address, end)
        return None if known is None else self._answers.send(path, body)

    def _known(self, method: str, path: str, head: bytes, address: str, size: int) -> _KnownHead | None:
        """What `head`, the lines behind the first, says; None where it may not take the short path."""
        if size >= self._adjustments.max_request_header_size:
            return None
        read = self._remembered if len(head) <= LONGEST_REMEMBERED else self._read_head
        return read(method, path, head, address)

    def _read_head(self, method: str, path: str, head: bytes, address: str) -> _KnownHead | None:
        parser = RequestParser(self._adjustments)
        data = f"{method} {path} HTTP/1.1".encode("ascii") + head
        taken = parser.received(data)
        headers = parser.headers
        if parser.error is not None or taken != len(data) or not parser.completed or parser.empty:
            return None
        if parser.connection_close or not _FORBIDDEN.isdisjoint(headers) or b"\r\n " in head or b"\r\n\t" in head:
            return None
        known = {"REMOTE_ADDR": address, "PATH_INFO": path, "REQUEST_METHOD": method, "SERVER_PROTOCOL": "HTTP/1.1"}
        named = {("" if name == "CONTENT_TYPE" else "HTTP_") + name: value for name, value in headers.items()}
        if not self._answers.admits(known | named):
            return None
        return _KnownHead(headers.get("USER_AGENT"), known)


def _cut(head: bytes, name: bytes) -> tuple[bytes | None, bytes]:
    """The value of the first header whose line begins with `name`, and `head` without it; None where there is none."""
    begin = head.find(name)
    if begin < 0:
        return None, head
    end = head.find(b"\r\n", begin + 2)
    if end < 0:
        return None, head
    return head[begin + len(name) : end], head[:begin] + head[end:]


def _is_plain(value: bytes) -> bool:
    """Whether a header's value is what waitress makes of it: visible ASCII and single spaces within."""
    return value.isascii() and bool(value) and value.strip() == value and value.decode("ascii").isprintable()
