"""A server whose path /stream becomes a WebSocket to a page that a test plays, and clients of it, byte by byte."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from collections import deque

from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.uri import parse_uri

from appengine_channel_emu.host.visitors import server_hints
from appengine_channel_emu.web.upgrade import Closing, Upgrade
from appengine_channel_emu.web.wsgi import plain_answer, send
from tests.server.test_parking import connected
from tests.support import wire
from tests.support.waiting import LONG_ENOUGH

EMPTY = b'{"messages":[],"next":0}'

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class PlayedPage:
    """What a test wants to be said over a stream, and what was heard."""

    def __init__(self):
        self.heard = queue.Queue()
        self.threads = set()
        self.ended = threading.Event()
        self.times_left = 0
        self._to_say = deque([EMPTY])
        self._wake = None

    def say(self, *texts):
        """Have these bytes sent, each in a frame, or exceptions raised."""
        self._to_say += texts
        if self._wake is not None:
            self._wake()

    def opened(self, wake):
        self._wake = wake

    def outgoing(self):
        self.threads.add(threading.get_ident())
        while self._to_say:
            text = self._to_say.popleft()
            if isinstance(text, BaseException):
                raise text
            yield text

    def received(self, text):
        self.threads.add(threading.get_ident())
        if not text.isdigit():
            raise Closing(1008, "A page sends numbers.")
        self.heard.put(text)

    def heartbeat(self):
        return EMPTY

    def left(self):
        self.threads.add(threading.get_ident())
        self.times_left += 1
        self.ended.set()


class Streams:
    """An application with a path of its own in front of another one."""

    def __init__(self, front):
        self._front = front
        self.pages = queue.Queue()

    def __getattr__(self, name):
        return getattr(self._front, name)

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] != "/stream":
            return self._front(environ, start_response)
        if not server_hints(environ).upgrades or "HTTP_SEC_WEBSOCKET_KEY" not in environ:
            return send(plain_answer("426 Upgrade Required", "Not so."), start_response)
        page = PlayedPage()
        upgrade = Upgrade(environ["HTTP_SEC_WEBSOCKET_KEY"], page)
        upgrade.begin(start_response)
        self.pages.put(page)
        return upgrade


def frame(opcode, payload=b"", fin=True, rsv=0, mask=b"\x01\x02\x03\x04", form=1):
    """A frame of a client; `form` is how many bytes say its length: 1, 3 or 9. Without a mask if that is None."""
    size = len(payload)
    lengths = {1: bytes((size & 0x7F,)), 3: b"\x7e" + size.to_bytes(2, "big"), 9: b"\x7f" + size.to_bytes(8, "big")}
    length = lengths[form]
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode, length[0] | (0 if mask is None else 0x80))) + length[1:]
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


class Client:
    """A client's side of a stream: bytes as the test likes them, judged by the library `websockets`.

    Its handshake and `behind` are sent at once, or in pieces of so many bytes.
    """

    def __init__(self, port, path="/stream", behind=b"", piece=None, receive_buffer=None, headers=()):
        self.sock = wire.connect(port, receive_buffer)
        self.protocol = ClientProtocol(parse_uri(f"ws://localhost{path}"), max_size=None)
        request = self.protocol.connect()
        for name, value in headers:
            request.headers[name] = value
        self.protocol.send_request(request)
        self._events = deque()
        self._ended = False
        self.send(b"".join(self.protocol.data_to_send()) + behind, piece)

    def send(self, data, piece=None):
        """All of it at once, or in pieces of so many bytes."""
        step = piece or len(data) or 1
        for at in range(0, len(data), step):
            self.sock.sendall(data[at : at + step])

    def next(self):
        """The next answer or frame; None at the end. What it is answered, as every client does, has been sent."""
        while not self._events and not self._ended:
            try:
                data = self.sock.recv(65536)
            except ConnectionError:
                data = b""
            self._ended = not data
            self.protocol.receive_data(data) if data else self.protocol.receive_eof()
            assert self.protocol.parser_exc is None or self._ended, self.protocol.parser_exc
            self._events += self.protocol.events_received()
            with contextlib.suppress(OSError):
                for answer in self.protocol.data_to_send():
                    self.sock.sendall(answer) if answer else self.sock.shutdown(socket.SHUT_WR)
        return self._events.popleft() if self._events else None

    def switched(self):
        """It is a WebSocket now, and the page has said so."""
        answer = self.next()
        assert answer.status_code == 101, answer
        assert self.texts(1) == [EMPTY]
        return answer

    def texts(self, count):
        """The next `count` texts."""
        found = []
        while len(found) < count:
            event = self.next()
            assert event is not None, (found, self.protocol.close_rcvd)
            if isinstance(event, Frame) and event.opcode == TEXT:
                found.append(bytes(event.data))
        return found

    def rest(self):
        """What comes up to the end: opcodes and contents."""
        return [(frame.opcode, bytes(frame.data)) for frame in iter(self.next, None)]

    def end(self):
        """The code and reason of the server's close frame, behind which the connection ends; None without one."""
        self.rest()
        closed = self.protocol.close_rcvd
        return None if closed is None else (closed.code, closed.reason)

    def close(self):
        """Go, without a word."""
        self.sock.close()


def gone(service):
    """Whether there is no connection any more, and nothing that waits for one."""
    return not connected(service) and not len(service._streams)


def page_of(service):
    return service.front.pages.get(timeout=LONG_ENOUGH)


BAD_FRAMES = [
    ("unmasked", frame(TEXT, b"1", mask=None), 1002),
    ("a text in two frames", frame(TEXT, b"1", fin=False), 1002),
    ("a continuation of nothing", frame(0, b"1"), 1002),
    ("126 bytes", frame(TEXT, b"1" * 126, form=3), 1002),
    ("the head alone of 65,535 bytes", frame(TEXT, b"1" * 65_535, form=3)[:8], 1002),
    ("the head alone of 2^63 - 1 bytes", b"\x81\xff\x7f" + b"\xff" * 7 + b"mask", 1002),
    ("a length of 2^63", b"\x81\xff\x80" + b"\0" * 7 + b"mask", 1002),
    ("a short text with its length in two bytes", frame(TEXT, b"1", form=3), 1002),
    ("a short text with its length in eight bytes", frame(TEXT, b"1", form=9), 1002),
    ("a long ping", frame(PING, b"1" * 126, form=3), 1002),
    ("a ping in two frames", frame(PING, b"1", fin=False), 1002),
    ("binary", frame(BINARY, b"1"), 1003),
    ("not UTF-8", frame(TEXT, b"\xff"), 1007),
    ("half a character", frame(TEXT, "\N{SNOWMAN}".encode()[:2]), 1007),
    ("no number", frame(TEXT, b"hello"), 1008),
    ("an empty close", frame(CLOSE), 1005),
    ("a close with half a code", frame(CLOSE, b"\x03"), 1002),
    ("a close for what is never sent", frame(CLOSE, struct.pack("!H", 1005)), 1002),
    ("a close with an unknown code", frame(CLOSE, struct.pack("!H", 2999)), 1002),
    ("a close with a code of nobody", frame(CLOSE, struct.pack("!H", 999)), 1002),
    ("a close whose reason is no text", frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    ("a close of an app", frame(CLOSE, struct.pack("!H", 4321) + b"bye"), 4321),
    *[(f"the reserved bit {rsv:03b}", frame(TEXT, b"1", rsv=rsv), 1002) for rsv in (1, 2, 4)],
    *[(f"the unknown opcode {opcode}", frame(opcode, b"1"), 1002) for opcode in (3, 7, 11, 15)],
]
"""What, as which bytes, ends a stream with which code."""
