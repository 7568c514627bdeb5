"""Where the ways are played: an emulator, an app that does as it is told, pages, and whoever else is needed."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import urllib3

from appengine_channel_emu.testing import ChannelClient, ChannelServer
from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH, until

_LINE = re.compile(r"^[\d-]+ [\d:,.]+ ([A-Z]+) +(.*)$", re.MULTILINE)
"""Of the log of a process: time, level and text."""


class PlayedApp:
    """The app: its page, and presence handlers that answer with a status, or raise."""

    def __init__(self) -> None:
        self.connected: Callable[[str], int] = lambda client_id: 200
        self.page_policy = ""
        """The Content-Security-Policy of its page; empty for none."""

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        """`/page` is the page, presence goes to `connected`, and there is nothing else."""
        status, headers = "404 Not Found", [("Content-Type", "text/html; charset=utf-8")]
        if environ["PATH_INFO"] == "/page":
            status = "200 OK"
            headers += [("Content-Security-Policy", self.page_policy)] if self.page_policy else []
        elif environ["PATH_INFO"].endswith("connected/"):
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
            status = f"{self.connected(parse_qs(body)['from'][0])} As told"
        start_response(status, headers)
        return [b'<!DOCTYPE html><title>A page</title><body><script src="/_ah/channel/jsapi"></script>']


class Stage:
    """One emulator and what stands around it; a context manager. `settings` are those of `ChannelServer`."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.app = PlayedApp()
        self.folder = folder
        self.server = ChannelServer(self.app, **settings)
        self._settings = settings
        self._url: str | None = None
        self._log_file: Path | None = None
        self._lines: list[str] = []
        self._pages: list[ChannelClient] = []
        self._http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(LONG_ENOUGH))
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Stage:
        self._ends.enter_context(listening(self._lines))
        self._ends.enter_context(self.server)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for page in self._pages:
            page.vanish()
        self._ends.close()
        self._http.clear()

    @property
    def url(self) -> str:
        """Of the emulator."""
        return self._url or self.server.url

    @property
    def log(self) -> list[str]:
        """The lines of its log so far, each with its level."""
        if self._log_file is not None:
            return [f"{level} {text}" for level, text in _LINE.findall(self._log_file.read_text("utf-8"))]
        return list(self._lines)

    # The app

    def token(self, client_id: str = "anna", minutes: int = 120) -> str:
        """`create_channel`."""
        answer = self.ask("POST", "/_emu/channels", json={"client_id": client_id, "duration_minutes": minutes})
        return str(answer.json()["token"])

    def send(self, client_id: str = "anna", message: str = "hello", **more: Any) -> None:
        """`send_message`."""
        self.ask("POST", "/_emu/messages", json={"client_id": client_id, "message": message, **more})

    # Pages

    def page(self, client_id: str = "anna", token: str | None = None, opened: bool = True) -> ChannelClient:
        """A page with a socket, or without one."""
        page = ChannelClient(self.url, self.token(client_id) if token is None else token)
        self._pages.append(page)
        return page.open() if opened else page

    # Whoever else

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
        """A request to the emulator; the answer, whatever it is."""
        return self._http.request(method, self.url + path, headers=headers, **more)

    def advance(self, seconds: float) -> None:
        """Move the clock, as a test does."""
        self.ask("POST", "/_emu/clock", json={"advance": seconds})

    def pass_time(self, seconds: float) -> None:
        """Let time pass as it does by itself: it counts against pages that are away, and nobody has moved the clock."""
        self.server.broker.clock.advance(seconds)

    def wait_for(self, kind: str, count: int = 1) -> None:
        """Return once there are so many events of that kind."""
        until(lambda: sum(event["kind"] == kind for event in self.events()) >= count)

    def events(self) -> list[dict[str, Any]]:
        """What has happened."""
        found: list[dict[str, Any]] = self.ask("GET", "/_emu/events").json()["events"]
        return found

    def channel(self, client_id: str) -> dict[str, Any]:
        """What the admin API says of it."""
        found: dict[str, Any] = self.ask("GET", "/_emu/channel", fields={"client_id": client_id}).json()
        return found

    def is_parked(self, client_id: str) -> bool:
        """Whether a page of the client waits for messages."""
        return any(socket["transport"] for socket in self.channel(client_id)["sockets_shown"])

    def acknowledged(self, client_id: str) -> bool:
        """Whether the page of the client has all messages."""
        return not any(socket["unread"] for socket in self.channel(client_id)["sockets_shown"])

    def at_the_end(self, call: Callable[[], object]) -> None:
        """Call it before the emulator is stopped."""
        self._ends.callback(call)

    def set(self, target: str, value: object) -> None:
        """Have an attribute of the emulator's be something else, as `MonkeyPatch.setattr` takes it."""
        self._ends.enter_context(pytest.MonkeyPatch.context()).setattr(target, value)

    def another_emulator(self) -> Stage:
        """A second one beside this."""
        return self._ends.enter_context(Stage(self.folder))

    def restart(self) -> None:
        """Start anew at the same port; nothing is kept."""
        port = int(self.url.rpartition(":")[2])
        self._ends.close()
        self.server = ChannelServer(self.app, **self._settings, port=port)
        self.__enter__()

    def serve(self, app_yaml: str, source: str) -> None:
        """Have the emulator be a process of its own, in front of an app in a folder of its own."""
        (self.folder / "app.yaml").write_text(app_yaml)
        (self.folder / "main.py").write_text(source)
        emulator = RunningEmulator(str(self.folder), log=self.folder / "log")
        self._ends.enter_context(emulator)
        self._url, self._log_file = emulator.url, emulator.log


@contextlib.contextmanager
def listening(lines: list[str]) -> Iterator[None]:
    """While it lasts, what the emulators of this process log is added to `lines`."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.getMessage()}")

    logger, handler = logging.getLogger("channel_emu"), Handler()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
