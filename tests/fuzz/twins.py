"""Two emulators that differ in nothing but whether requests may take the short path, and the same bytes to both.

What a client sees must be the same, byte for byte and step by step, and so must everything that is known of it
afterwards. For that both run on this thread, one after the other, with the same random numbers and with a time that
passes only where a script says so.

A script is what goes over a connection, with words in it for what is no byte: `--piece--` begins another packet,
`--bytes--` sends each byte that follows by itself, `--other--` goes on with the other connection, `--end--` ends the
sending side, `--wait--` lets half a second pass, and `--message--` sends a message to TOKEN's client. TOKEN is a valid
token, SOCKET a socket of it that nothing was sent to, UNREAD one of another client with two messages unread.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from appengine_channel_emu.broker.clock import SystemClock
from appengine_channel_emu.broker.errors import ChannelServiceError
from appengine_channel_emu.server import brokers, loop, service
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.timer import Timer, TimerThread
from tests.fuzz.target import CLIENT_ID, Defect, Log, environ_of, with_names

TURNS = 50_000
"""Of the loop until all must have been said."""
STEP_SECONDS = 0.25
WAIT_SECONDS = 0.5
END_SECONDS = 63.0
"""After that whatever was waited for has come to its end: a slow client's minute, and a look before and behind it."""
MOST_BYTES_ALONE = 3_000
ADDRESS = ("127.0.0.1", 40_000)
"""Of every client."""

DATE = re.compile(rb"(\r\nDate: )\w{3}, \d\d \w{3} 2023 \d\d:\d\d:\d\d GMT(?=\r\n)")
"""Clients that are slow are looked at once a second, and those of one path not at the same moment as the other's."""

WORDS = re.compile(rb"--(piece|bytes|other|end|wait|message)--")

STATES = ["channels?limit=100", "events", "messages", "metrics", "notes", "near-misses", "faults", "settings"]
"""What a user can know of an emulator: pages of the admin API."""


class Machine:
    """The time and the random numbers of whoever runs at this moment."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.chance = random.Random(0)
        self.time = SimpleNamespace(
            **{name: getattr(time, name) for name in dir(time) if not name.startswith("_")}
            | {"monotonic": lambda: self.now, "time": lambda: 1_700_000_000 + self.now, "sleep": lambda seconds: None}
        )
        self.secrets = SimpleNamespace(
            token_bytes=lambda count=32: self.chance.randbytes(count),
            token_hex=lambda count=32: self.chance.randbytes(count).hex(),
            token_urlsafe=lambda count=32: self.chance.randbytes(count).hex(),
            randbelow=self.chance.randrange,
        )

    def take_over(self, replace: Callable[[Any, str, Any], None]) -> None:
        """Have the package, and waitress, ask here for the time and for random numbers."""
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in ("appengine_channel_emu", "waitress"):
                for part, instead in ((time, self.time), (sys.modules["secrets"], self.secrets)):
                    if vars(module).get(part.__name__) is part:
                        replace(module, part.__name__, instead)


machine = Machine()


class SteppedLoop(loop.EpollLoop):
    """The loop, turned by whoever asks for it: everything is served on that thread."""

    thread: Any

    def start(self, often: Callable[[], None], each_second: Callable[[], None]) -> None:
        """See `Loop`."""
        self.thread = SimpleNamespace(
            ident=threading.get_ident(), join=lambda seconds: None, is_alive=lambda: False, name="loop"
        )
        self._often, self._each_second = often, each_second
        self._begin()

    def settle(self) -> None:
        """Turn until nothing is left to do. Raises `Defect` when there is no end of it."""
        for _ in range(TURNS):
            self._served = False
            self._serve_descriptors(0)
            if self._calls or self._answers:
                self._serve_tasks()
            elif not self._served:
                if self._words_due is None:
                    return
                self._words_due = machine.now
        raise Defect("the loop turns for ever")

    def look(self, each_second: bool) -> None:
        """What is done now and then."""
        self._often()
        if each_second:
            self._look_at_all()
            self._each_second()

    def _serve_ready(self, poller: Any, ready: list[tuple[int, int]]) -> None:
        self._served |= bool(ready)
        super()._serve_ready(poller, ready)


class SteppedTimer(TimerThread):
    """Timers without a thread."""

    def now(self) -> float:
        """See `TimerThread`."""
        return machine.now

    def run_due(self) -> None:
        """Call what is due."""
        while (timer := self._timers.pop_due(machine.now)) is not None:
            if timer.action is not None:
                timer.action()

    def _set(self, due: float, action: Callable[[], None]) -> Timer:
        return self._timers.set(due, action)


class Twin:
    """One of the two."""

    def __init__(self, short_path: bool) -> None:
        self._short_path = short_path
        self.service: Service | None = None
        self.clients: list[Client] = []

    def start(self) -> None:
        """Begin anew."""
        self.stop()
        machine.chance.seed(0)
        settings = Settings(port=0, state_dir="none", presence="never", quiet=True)
        self.service = Service(settings, lambda address: None, self._short_path)
        self.service._pools.add_task = self.service._loop.soon
        self.service.start()

    def stop(self) -> None:
        """End it."""
        if self.service is not None:
            self.service.stop()
            self.service = None

    def play(self, data: bytes, seed: int) -> tuple[list[object], dict[str, object]]:
        """What each client gets at each step of the script, and what is known of it afterwards."""
        assert self.service is not None
        machine.chance.seed(seed)
        self.service.front.reset()
        names = self._prepare()
        seen: list[object] = []
        self.clients = [Client(self._connect()), Client(self._connect())]
        try:
            self._follow(with_names(data, names), seen)
            self._pass(END_SECONDS, 1.0)
            seen.append([client.take() for client in self.clients])
        finally:
            for client in self.clients:
                client.close()
        self._settle()
        seen.append(len(self.service._parked_polls))
        return self._without_port(seen), self._without_port(self._known())

    def _connect(self) -> socket.socket:
        """The client's end of a connection. What is sent over it is there at once, as it is not always over TCP."""
        assert self.service is not None
        (server,) = self.service._acceptor.servers[:1]
        server.adj.socket_options = []
        client, accepted = socket.socketpair()
        listening, server.socket = server.socket, SimpleNamespace(accept=lambda: (accepted, ADDRESS))
        server.handle_accept()
        server.socket = listening
        return client

    @property
    def travelled(self) -> bool:
        """Whether its clock is one that no other script may meet."""
        assert self.service is not None
        return bool(self.service.broker.control.travelled or self.service.broker.clock.frozen)

    def _prepare(self) -> dict[bytes, bytes]:
        assert self.service is not None
        broker = self.service.broker
        tokens = [broker.create_channel(name).token for name in (CLIENT_ID, "other")]
        sockets = [broker.open(token).socket for token in tokens]
        for text in ("first", "sécond\u2028\x00"):
            broker.send_message("other", text)
        words = {b"TOKEN": tokens[0], b"SOCKET": sockets[0], b"UNREAD": sockets[1]}
        return {word: value.encode() for word, value in words.items()}

    def _follow(self, data: bytes, seen: list[object]) -> None:
        assert self.service is not None
        at, alone = 0, False
        for number, part in enumerate(WORDS.split(data)):
            if number % 2 == 0:
                pieces = [part[i : i + 1] for i in range(len(part))] if alone else [part]
                alone = alone and len(part) < MOST_BYTES_ALONE
                for piece in filter(None, pieces):
                    self.clients[at].send(piece)
                    self._settle()
            elif part == b"bytes":
                alone = True
            elif part == b"other":
                at = 1 - at
            elif part == b"end":
                self.clients[at].end()
            elif part == b"wait":
                self._pass(WAIT_SECONDS)
            elif part == b"message":
                try:
                    self.service.broker.send_message(CLIENT_ID, f"pushed {number}")
                except ChannelServiceError as error:
                    # A fault that the script has put in force.
                    seen.append(repr(error))
            self._settle()
            seen.append([client.take() for client in self.clients])

    def _pass(self, seconds: float, at_a_time: float = STEP_SECONDS) -> None:
        assert self.service is not None
        for step in range(round(seconds / at_a_time)):
            machine.now += at_a_time
            self.service._timer.run_due()
            self.service._loop.look(step * at_a_time % 1.0 == 0)
            self._settle()

    def _settle(self) -> None:
        assert self.service is not None
        self.service._loop.settle()

    def _known(self) -> dict[str, object]:
        assert self.service is not None
        known: dict[str, object] = {}
        for name in STATES:
            statuses: list[str] = []
            environ = environ_of(f"GET /_emu/{name}\n\n".encode())
            body = self.service.front(environ, lambda status, headers, exc=None, to=statuses: to.append(status))
            answer = b"".join(body)
            said = json.loads(answer) if answer[:1] in b"{[" else answer.decode().splitlines()
            for event in said["events"] if name == "events" else ():
                if event["kind"] == "client_too_slow":
                    event["time"] = "a second more or less"  # See `DATE`.
            known[name] = statuses, said
        return known

    def _without_port(self, seen: Any) -> Any:
        assert self.service is not None
        # By itself: its digits may be within an id.
        # Behind a colon alone: a count, or digits of an id, may be the same.
        port = rf"(?<=:){self.service.port}(?![0-9A-Za-z])"
        if isinstance(seen, bytes):
            return DATE.sub(rb"\1(then)", re.sub(port.encode(), b"PORT", seen))
        if isinstance(seen, str):
            return re.sub(port, "PORT", seen)
        if isinstance(seen, list | tuple):
            return [self._without_port(each) for each in seen]
        if isinstance(seen, dict):
            return {name: self._without_port(each) for name, each in seen.items()}
        return seen


class Client:
    """A connection, and what has come over it since it was last looked at."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._socket.setblocking(False)
        self._ended = False

    def send(self, data: bytes) -> None:
        """As far as the server takes it: what it has refused it need not read."""
        with contextlib.suppress(OSError):
            if not self._ended:
                self._socket.sendall(data)

    def end(self) -> None:
        """Send nothing more."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def take(self) -> tuple[bytes, str]:
        """What has come, and whether the connection is open still."""
        data = b""
        while True:
            try:
                block = self._socket.recv(1 << 20)
            except BlockingIOError:
                return data, "open"
            except OSError as error:
                return data, type(error).__name__
            if not block:
                return data, "ended"
            data += block

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Twins:
    """Both. `feed` raises `Defect` where they differ."""

    def __init__(self, replace: Callable[[Any, str, Any], None] = setattr) -> None:
        machine.take_over(replace)
        replace(service, "make_loop", SteppedLoop)
        replace(service, "TimerThread", SteppedTimer)
        replace(brokers, "SystemClock", lambda: SystemClock(lambda: machine.now))
        self._log = Log()
        self.twins = {"short": Twin(True), "long": Twin(False)}
        self._played = 0
        self._start()

    def _start(self) -> None:
        machine.now = began = 1_000.0
        for twin in self.twins.values():
            machine.now = began
            twin.start()

    def stop(self) -> None:
        """Stop both."""
        for twin in self.twins.values():
            twin.stop()
        self._log.detach()

    def feed(self, data: bytes) -> list[object]:
        """What came of the script, the same on both."""
        self._played += 1
        try:
            return self._feed(data)
        except BaseException:
            # What one has more than the other would be found in every script that follows.
            self._start()
            raise

    def _feed(self, data: bytes) -> list[object]:
        began = machine.now
        results = {}
        for name, twin in self.twins.items():
            machine.now = began
            results[name] = twin.play(data, self._played)
        (short, short_known), (long, long_known) = results["short"], results["long"]
        if any(twin.travelled for twin in self.twins.values()):
            self._start()
        self._log.check(data)
        for step, (one, other) in enumerate(zip(short, long, strict=True)):
            _same(f"step {step}", one, other, data)
        for name, known in short_known.items():
            _same(name, known, long_known[name], data)
        return short


def _same(what: str, short: object, long: object, data: bytes) -> None:
    if short != long:
        raise Defect(f"{data!r}: {what} is on the short path\n{short!r}\nand on the long one\n{long!r}")
