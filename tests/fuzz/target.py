"""The emulator as a fuzzer sees it: bytes in, and what must be true whatever they are.

No answer has status 500, no exception is logged, no request hangs, and a page of somebody else's still gets its
messages. In the bytes the words TOKEN and SOCKET stand for a token and a socket that are there.
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import logging
import re
import socket
import traceback
from collections.abc import Callable
from typing import Any

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.faults import faults
from appengine_channel_emu.host.backend import AppAnswer
from appengine_channel_emu.host.login import SignIn
from appengine_channel_emu.server import service
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.web import resources
from appengine_channel_emu.web.front import Front
from appengine_channel_emu.web.guard import WebOptions
from appengine_channel_emu.web.wsgi import ConnectionCut
from tests.support.backend import PlayedBackend, ok

HANG_SECONDS = 20
NEXT_REQUEST = b"\n--next--\n"
NEXT_PIECE = b"--piece--"
LONGEST = 64 * 1024
DELIVER_EVERY = 100
"""Inputs between two looks at whether a page still gets its messages."""

CLIENT_ID = "fuzz"

_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")


class Defect(Exception):
    """The emulator did what it must not do."""


class Log(logging.Handler):
    """What was logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []
        logging.getLogger().addHandler(self)

    def detach(self) -> None:
        """Hear no more."""
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self.records.append(f"{record.getMessage()}\n{trace}")

    def check(self, data: object) -> None:
        """Raises `Defect` when there is anything."""
        if self.records:
            text, self.records = "\n".join(self.records), []
            raise Defect(f"{data!r} was logged as an error: {text}")


def end_waits(replace: Callable[[Any, str, Any], None] = setattr) -> None:
    """Let nothing wait for long, in this process: what comes of a wait is the same when it is over at once."""
    replace(resources, "LONGEST_WAIT", 0.0)
    replace(faults, "LONGEST_DELAY", 0.0)
    replace(service, "WebOptions", functools.partial(WebOptions, longest_poll=0.2))


class App(PlayedBackend):
    """The app behind: it reads everything, and signs visitors in."""

    def __init__(self) -> None:
        self._sign_in = SignIn(b"k" * 32)

    def serve(self, environ: Any, request_id: str | None) -> AppAnswer:
        if SignIn.serves(environ["PATH_INFO"]):
            return self._sign_in.answer(environ)
        user = self._sign_in.user(environ)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        return ok(user.email.encode() if user else b"nobody")


class Surface:
    """The front in this thread, as WSGI. Every input meets the same state: one socket, with one message unread."""

    def __init__(self) -> None:
        self._log = Log()
        self._start()

    def _start(self) -> None:
        self._broker = EmbeddedBroker(ManualClock(), BrokerOptions(), None)
        self._front = Front(self._broker, App(), WebOptions(longest_poll=0.0, longest_presence_wait=0.0))

    def stop(self) -> None:
        """Leave nothing behind."""
        self._log.detach()

    def feed(self, data: bytes) -> list[int]:
        """Requests, separated by `NEXT_REQUEST`, each `METHOD TARGET`, headers and body; their statuses."""
        if self._broker.control.travelled:
            self._start()  # Time does not go back.
        self._front.reset()
        broker = self._broker
        token = broker.create_channel(CLIENT_ID).token
        names = {b"TOKEN": token.encode(), b"SOCKET": broker.open(token).socket.encode()}
        broker.send_message(CLIENT_ID, "unread")
        statuses = [self._ask(request) for request in with_names(data, names).split(NEXT_REQUEST)[:8]]
        self._log.check(data)
        return statuses

    def _ask(self, request: bytes) -> int:
        environ = environ_of(request)
        errors = environ["wsgi.errors"]
        statuses: list[str] = []
        bodies: list[bytes] = []
        try:
            body = self._front(environ, lambda status, headers, exc_info=None: statuses.append(status))  # type: ignore[arg-type]
            try:
                bodies += body
            finally:
                if hasattr(body, "close"):
                    body.close()
        except ConnectionCut:
            return 0
        answer = b"".join(bodies)
        check_status(int(statuses[-1][:3]), answer, request)
        if errors.getvalue():
            raise Defect(f"{request!r} wrote to the log: {errors.getvalue()}")
        return int(statuses[-1][:3])


class Wire:
    """A running server, and a page of somebody else's. `feed` is given what goes over one connection."""

    def __init__(self, **settings: Any) -> None:
        app = App()
        given = {"port": 0, "state_dir": "none", "presence": "always", "resume_window": 2.0, **settings}
        self.service = service.Service(Settings(**given), lambda address: app)
        self.service.start()
        self._log = Log()
        self._sources = itertools.count()
        self._fed = 0
        self.check_delivery()

    def stop(self) -> None:
        """Stop the server."""
        self.service.stop()
        self._log.detach()

    def feed(self, data: bytes) -> bytes:
        """Send `data`, in pieces where it says so, and hang up; what came back. Raises `Defect`."""
        broker = self.service.broker
        token = broker.create_channel(CLIENT_ID).token
        names = {b"TOKEN": token.encode(), b"SOCKET": broker.open(token).socket.encode()}
        if self._fed % 2:
            broker.send_message(CLIENT_ID, "one")  # From here on its polls may get an early head.
        answer = self._exchange(with_names(data, names).split(NEXT_PIECE))
        if b"HTTP/1.1 500 Internal" in answer or b"HTTP/1.0 500 Internal" in answer:
            raise Defect(f"{data!r} was answered {answer!r}")
        self._log.check(data)
        self._fed += 1
        if self._fed % DELIVER_EVERY == 0:
            self.service.front.reset()
            broker.clock.freeze(False)
            self.check_delivery()
        return answer

    def check_delivery(self) -> None:
        """A page opens, is sent a message, and gets it. Raises `Defect`."""
        broker = self.service.broker
        token = broker.create_channel("bystander").token
        with self._connect() as page:
            opened = _get_json(page, f"/_ah/channel/open?channel={token}")
            page.sendall(_get(f"/_ah/channel/poll?socket={opened['socket']}&after=0&wait=20"))
            broker.send_message("bystander", "still here")
            answer = _json(_read_answer(page))
        if answer["messages"] != ["still here"]:
            raise Defect(f"a page was given {answer} in place of its message")
        self._log.check("nothing")

    def _exchange(self, pieces: list[bytes]) -> bytes:
        answer = b""
        with self._connect() as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65536):
                    answer += chunk
            except TimeoutError:
                raise Defect(f"{pieces!r} was not answered within {HANG_SECONDS} s") from None
            except OSError:
                pass  # It need not read the rest of what it has refused.
        return answer

    def _connect(self) -> socket.socket:
        # From many addresses, for one has too few ports for thousands of connections in a minute.
        number = next(self._sources) // 1000
        source = (f"127.0.{number // 250 % 250}.{number % 250 + 1}", 0)
        return socket.create_connection(("127.0.0.1", self.service.port), HANG_SECONDS, source)


def with_names(data: bytes, names: dict[bytes, bytes]) -> bytes:
    """`data`, no longer than `LONGEST`, with its words replaced."""
    for word, value in names.items():
        data = data.replace(word, value)
    return data[:LONGEST]


def environ_of(request: bytes) -> dict[str, Any]:
    """The WSGI environ that a server would make of a request, with the length that its body has."""
    head, _, body = request.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.partition(b" ")
    path, _, query_string = target.partition(b"?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": re.sub(r"[^A-Z]", "", method.decode("latin-1").upper()) or "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/" + _unquoted(path).lstrip("/"),
        "QUERY_STRING": re.sub(rb"[\x00-\x20]", b"", query_string).decode("latin-1"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for found in filter(None, map(_HEADER.fullmatch, lines)):
        name = found[1].decode().upper().replace("-", "_")
        value = re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", found[2]).decode("latin-1")
        if name == "CONTENT_TYPE":
            environ[name] = value
        elif name not in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
            environ[f"HTTP_{name}"] = value
    return environ


def check_status(status: int, answer: bytes, request: object) -> None:
    """Raises `Defect` for a 500 that nobody asked for."""
    if status == 500 and answer != b"A fault on request.\n":
        raise Defect(f"{request!r} was answered 500: {answer!r}")


def _unquoted(path: bytes) -> str:
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), path).decode("latin-1")


def _get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def _get_json(connection: socket.socket, target: str) -> Any:
    connection.sendall(_get(target))
    return _json(_read_answer(connection))


def _json(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def _read_answer(connection: socket.socket) -> bytes:
    answer = b""
    while True:
        head, separator, body = answer.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: *(\d+)", head)
        if separator and found and len(body) >= int(found[1]):
            return answer
        try:
            chunk = connection.recv(65536)
        except TimeoutError:
            chunk = b""
        if not chunk:
            raise Defect(f"a page's answer ended after {answer!r}")
        answer += chunk
