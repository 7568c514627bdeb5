"""A stream of a socket, as a page has it: the WebSocket of behaviour.md 5 (RFC 6455), over a plain connection."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.extensions import Extension
from wsproto.utilities import ProtocolError

from appengine_channel_emu.testing.transports import (
    AGENT,
    ANSWER_SECONDS,
    Answerable,
    EmulatorAway,
    OverHTTP,
    Reply,
)

SILENCE_SECONDS = 40.0
"""A server that says nothing for so long has gone: it sends a heartbeat every 25 s."""

READ_BYTES = 65536


class StreamRefused(Exception):
    """The server makes no stream of the connection: its HTTP status (0 where it answered no HTTP), and what it says."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text

    def __str__(self) -> str:
        return f"{self.status} {self.text.strip()}".removeprefix("0 ")


class ClientStream:
    """A stream of the socket `socket_id` at `url`, `http[s]://host:port`, for a page with all messages up to `after`.

    Heartbeats are answered as they are read, by `receive`. `offers` are extensions to offer, and `extensions` those
    that the server took. Another thread than the one that receives may send. Raises `EmulatorAway` when nobody is
    there, and `StreamRefused` when somebody is, but no WebSocket comes of it.
    """

    def __init__(self, url: str, socket_id: str, after: int = 0, offers: Sequence[Extension] = ()) -> None:
        self.extensions: list[str] = []
        self.closed: int | None = None
        """The code of the server's close, once it has sent one."""
        self._url = url
        self._has = after
        self._wire = WSConnection(ConnectionType.CLIENT)
        self._sending = threading.RLock()
        self._frames: deque[dict[str, Any] | Pong] = deque()
        self._text = ""
        self._accepted = False
        self._refusal = StreamRefused(0, "")
        self._sock = self._connect()
        parts = urlsplit(url)
        query = urlencode({"socket": socket_id, "after": after})
        target = f"{parts.path.rstrip('/')}/_ah/channel/stream?{query}"
        headers = [(name.encode(), value.encode()) for name, value in AGENT.items()]
        try:
            self._upgrade(Request(parts.netloc, target, extensions=offers, extra_headers=headers))
        except EmulatorAway as error:
            self.close()
            raise StreamRefused(0, str(error)) from None
        except StreamRefused:
            self.close()
            raise

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """The next frame, which is a poll's answer or `{"error", "reason"}`; None if none comes in `timeout` seconds.

        None, too, where the pong comes first that answers `ping`. Raises `EmulatorAway` once the stream has ended.
        """
        give_up = time.monotonic() + timeout
        while not self._frames:
            if self.closed is not None:
                raise EmulatorAway(self._url, ConnectionError(f"the stream was closed with {self.closed}"))
            if not self._read(give_up - time.monotonic()):
                return None
        frame = self._frames.popleft()
        return None if isinstance(frame, Pong) else frame

    def acknowledge(self, number: int) -> None:
        """Tell the server that all messages up to `number` are here. One that has gone shows in `receive`."""
        self._has = number
        self.say(str(number))

    def say(self, text: str) -> None:
        """Send any text."""
        with contextlib.suppress(OSError, ProtocolError):
            self._send(TextMessage(text))

    def ping(self) -> None:
        """Ask for a pong: what the server had sent before it is there, then."""
        with contextlib.suppress(OSError, ProtocolError):
            self._send(Ping())

    def close(self) -> None:
        """Close it as a page does that is left. To be called by the thread that receives."""
        with contextlib.suppress(OSError, ProtocolError):
            self._send(CloseConnection(1000))
        self._sock.close()

    def vanish(self) -> None:
        """Break the connection, from any thread."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> socket.socket:
        parts = urlsplit(self._url)
        secure = parts.scheme == "https"
        try:
            made = socket.create_connection(
                (parts.hostname or "", parts.port or (443 if secure else 80)), ANSWER_SECONDS
            )
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return ssl.create_default_context().wrap_socket(made, server_hostname=parts.hostname) if secure else made
        except OSError as error:
            raise EmulatorAway(self._url, error) from None

    def _upgrade(self, request: Request) -> None:
        self._send(request)
        give_up = time.monotonic() + ANSWER_SECONDS
        while not self._accepted:
            if not self._read(give_up - time.monotonic()):
                raise EmulatorAway(self._url, TimeoutError("the upgrade to a WebSocket is not answered"))

    def _read(self, timeout: float) -> bool:
        """Take what the server sends next; False when that is nothing within `timeout` seconds."""
        try:
            self._sock.settimeout(max(timeout, 0.001))
            data = self._sock.recv(READ_BYTES)
            if not data:
                raise ConnectionError("the server has ended the connection")
            with self._sending:
                self._wire.receive_data(data)
                for event in self._wire.events():
                    if self._accepted:
                        self._take(event)
                    else:
                        self._learn(event)
        except TimeoutError:
            return False
        except (OSError, ProtocolError, ValueError) as error:
            raise EmulatorAway(self._url, error) from None
        return True

    def _learn(self, event: Event) -> None:
        """What became of the upgrade."""
        if isinstance(event, AcceptConnection):
            self._accepted, self.extensions = True, [extension.name for extension in event.extensions]
        elif isinstance(event, RejectConnection):
            self._refusal.status = event.status_code
            if not event.has_body:
                raise self._refusal
        elif isinstance(event, RejectData):
            self._refusal.text += event.data.decode("utf-8", "replace")
            if event.body_finished:
                raise self._refusal

    def _take(self, event: Event) -> None:
        if isinstance(event, TextMessage):
            self._text += event.data
            if event.message_finished:
                text, self._text = self._text, ""
                self._understand(text)
        elif isinstance(event, Pong):
            self._frames.append(event)
        elif isinstance(event, Ping | CloseConnection):
            if isinstance(event, CloseConnection):
                self.closed = event.code
            with contextlib.suppress(OSError, ProtocolError):
                self._send(event.response())

    def _understand(self, text: str) -> None:
        frame = json.loads(text)
        if not isinstance(frame, dict):
            raise ValueError("a frame that is no JSON object")
        self._frames.append(frame)
        if frame.get("messages") == []:
            self.acknowledge(self._has)

    def _send(self, event: Event) -> None:
        with self._sending:
            self._sock.sendall(self._wire.send(event))


class StreamOrPoll:
    """How a client waits at a server that streams: over a stream, and by polls where that does not work.

    A stream that breaks is opened again with the next `start`: the server may have been restarted. One that is refused,
    or two in a row that break before anything has come over them, are followed by polls.
    """

    def __init__(self, http: OverHTTP) -> None:
        self._http = http
        self._stream: _ReadStream | None = None

    @property
    def streams(self) -> bool:
        """Whether messages come over a stream at this moment, as far as is known."""
        return self._stream is not None and self._stream.streams

    def start(self, path: str, query: dict[str, Any]) -> Answerable:
        """See `Transport`; `query` is a poll's. Where a stream is open, this acknowledges what came over it."""
        if self._stream is not None and self._stream.poll is not None:
            return self._http.start(path, query)
        if self._stream is None or self._stream.over:
            failed = self._stream is not None and not self._stream.worked
            self._stream = _ReadStream(self._http, path, query, last_try=failed)
        else:
            self._stream.acknowledge(query["after"])
        return self._stream


class _ReadStream:
    """A stream that is read all the time, so that its page counts as there between the calls of a test."""

    def __init__(self, http: OverHTTP, path: str, query: dict[str, Any], last_try: bool) -> None:
        self._http = http
        self._path = path
        self._query = query
        self._last_try = last_try
        self._changed = threading.Condition()
        self._stream: ClientStream | None = None
        self._outcomes: deque[Reply | EmulatorAway] = deque()
        self._pings = self._pongs = 0
        self._abandoned = False
        self.worked = False
        """Whether a frame has come."""
        self.streams = False
        """Whether one has come, and the stream has not ended since."""
        self.over = False
        """Whether its end has been taken: another one must be opened."""
        self.poll: Answerable | None = None
        """What waits instead, where a stream does not work."""
        threading.Thread(target=self._run, name="stream", daemon=True).start()

    def acknowledge(self, number: int) -> None:
        """See `ClientStream`."""
        if self._stream is not None:
            self._stream.acknowledge(number)

    def result(self, timeout: float) -> Reply | None:
        """See `Answerable`. What the server has by then is in it, however small `timeout`. Raises `EmulatorAway`."""
        give_up = time.monotonic() + timeout
        with self._changed:
            if not self._changed.wait_for(self._is_answered, timeout):
                self._catch_up()
            if self.poll is None:
                return self._next()
        return self.poll.result(max(0.0, give_up - time.monotonic()))

    def abandon(self) -> None:
        """See `Answerable`: the server sees the connection break."""
        with self._changed:
            self._abandoned = self.over = True
            if self._stream is not None:
                self._stream.vanish()
            if self.poll is not None:
                self.poll.abandon()

    def _is_answered(self) -> bool:
        return bool(self._outcomes) or self.poll is not None

    def _catch_up(self) -> None:
        """Wait until what the server had to say at this moment is here."""
        self._changed.wait_for(lambda: self.streams or self._is_answered(), 2 * ANSWER_SECONDS)
        if self._stream is None or self._is_answered():
            return
        self._pings += 1
        self._stream.ping()
        if not self._changed.wait_for(lambda: self._pongs == self._pings or self._is_answered(), ANSWER_SECONDS):
            self._stream.vanish()
            self._changed.wait_for(self._is_answered, ANSWER_SECONDS)

    def _next(self) -> Reply | None:
        if not self._outcomes:
            return None
        outcome = self._outcomes.popleft()
        if isinstance(outcome, EmulatorAway):
            self.over = True
            raise outcome
        self.over = outcome.status != 200
        return outcome

    def _run(self) -> None:
        try:
            last: Reply | EmulatorAway | None = self._read()
        except StreamRefused as refused:
            # What a poll would be answered, too.
            final = refused.status in (401, 410) or refused.status >= 500
            last = Reply(refused.status, refused.text.strip(), b"") if final else None
        except EmulatorAway as error:
            broke_early = self._stream is not None and not self.worked
            last = None if broke_early and self._last_try else error
        with self._changed:
            self.streams = False
            if self._stream is not None:
                self._stream.close()
            if last is not None:
                self._outcomes.append(last)
            elif not self._abandoned:
                self.poll = self._http.start(self._path, self._query)
            self._changed.notify_all()

    def _read(self) -> Reply:
        """Take frames until one says why the socket ended."""
        self._stream = stream = ClientStream(self._http.url, self._query["socket"], self._query["after"])
        while True:
            frame = stream.receive(SILENCE_SECONDS if self.worked else ANSWER_SECONDS)
            with self._changed:
                self.worked = self.worked or frame is not None
                if self._abandoned:
                    raise EmulatorAway(self._http.url, ConnectionError("the page has gone"))
                if frame is None and self._pongs == self._pings:
                    raise EmulatorAway(self._http.url, TimeoutError("the stream is silent"))
                if frame is None:
                    self._pongs += 1
                elif "error" in frame:
                    return Reply(int(frame["error"]), str(frame.get("reason")), b"")
                elif frame.get("messages"):
                    self._outcomes.append(Reply(200, "OK", json.dumps(frame).encode()))
                self.streams = True
                self._changed.notify_all()
