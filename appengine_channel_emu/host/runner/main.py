"""The process of an instance: it imports the app, serves it on a Unix socket, and ends on SIGTERM or left alone."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import select
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

from . import RunnerInfo
from .deadline import Deadlines, MainThreadDeadlines
from .handler import RequestHandler, Response
from .loading import Apps, NotLoaded, reached_folders
from .report import Report, SourceLog

SERVING_ON_MAIN_THREAD = 2
"""Threads that have a request when the handlers run on the main one: they only wait for it."""

END_SECONDS = 1.0
"""After SIGTERM, for the app's exit functions; threads that it left running do not keep the process alive."""

ORPHAN_LOOK_SECONDS = 0.2

RECEIVE_BYTES = 64 * 1024
PAUSE_SECONDS = 0.05
"""Before it tries again to accept a connection, when the process has no descriptor left."""


class MainThread:
    """Has the main thread do what other threads ask for, one thing after another."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def do(self, work: Callable[[], None]) -> None:
        """Has `work` done, which must not raise, and waits for its end."""
        done = threading.Event()
        self._work.put((work, done))
        done.wait()

    def serve(self) -> None:
        """Does the work, until `stop`."""
        while (item := self._work.get()) is not None:
            work, done = item
            work()
            done.set()

    def stop(self) -> None:
        """Can be called from a signal handler."""
        self._work.put(None)


def main(info_json: str, load_package: Callable[[str, str], ModuleType]) -> int:
    """Runs until SIGTERM and returns the exit status; `load_package(name, folder)` imports a package."""
    info = RunnerInfo(**json.loads(info_json))
    main_thread = MainThread()
    end_on_sigterm(main_thread)
    end_when_orphaned(info.report, os.path.dirname(info.socket))
    report = Report(info.report)
    sources = SourceLog(info.folder, report)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # Instead of the script's folder, whose modules are none of the app's business.
    sys.path[:1] = [*info.paths, info.folder]
    sys.argv = [info.target]
    load_package("waitress", info.waitress)
    kind = MainThreadDeadlines if info.threads is None else Deadlines
    deadlines = kind(info.deadline)
    deadlines.make_sleep_wake()
    apps = Apps()
    failure = None
    try:
        if info.target:
            apps.get(info.target)
    except NotLoaded as error:
        failure = error
    sources.at_once = False
    if failure is not None:
        sources.report(reached_folders(info.folder))
        report.send(state="failed", reason=failure.reason, text=str(failure))
        return 0
    deadlines.error = deadline_error()
    do = main_thread.do if info.threads is None else lambda work: work()
    handler = RequestHandler(apps, info, report, sources, deadlines, do)
    server = InstanceServer(info.socket, info.threads or SERVING_ON_MAIN_THREAD, handler)
    threading.Thread(target=server.run, name="accept", daemon=True).start()
    report.send(state="serving")
    main_thread.serve()
    return 0


def end_on_sigterm(main_thread: MainThread) -> None:
    """On SIGTERM the main thread leaves `serve`, and the process ends whatever it or another thread is doing."""
    waiting, asked = os.pipe()

    def on_sigterm(*unused: object) -> None:
        os.write(asked, b"x")
        main_thread.stop()

    def end() -> None:
        os.read(waiting, 1)
        threading.Event().wait(END_SECONDS)
        os._exit(0)

    threading.Thread(target=end, name="end", daemon=True).start()
    signal.signal(signal.SIGTERM, on_sigterm)


def end_when_orphaned(report: int, folder: str) -> None:
    """Kills the process group and removes `folder` once both the front and the supervisor are gone.

    While one of them lives it ends the instance itself; two SIGKILLs leave nobody. The front alone reads the other end
    of the pipe `report`; the supervisor is the parent.
    """
    threading.Thread(target=_end_orphan, args=(report, folder, os.getppid()), name="orphan", daemon=True).start()


def _end_orphan(report: int, folder: str, supervisor: int) -> None:
    poll = select.poll()
    poll.register(report, 0)  # Errors alone: that nobody reads any more is one.
    poll.poll()
    pause = threading.Event()
    while os.getppid() == supervisor:
        pause.wait(ORPHAN_LOOK_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def deadline_error() -> type[BaseException]:
    """The class that the app would import: an SDK's own where there is one."""
    found: type[BaseException] = importlib.import_module("google.appengine.runtime").DeadlineExceededError
    assert issubclass(found, BaseException)
    return found


class InstanceServer:
    """Serves what the front sends: a thread for each of the front's connections, and nothing between.

    The front has as many connections as it has had requests at a time, and sends the next request on one when it has
    the answer to the last. So the thread that waits for a connection's next request also answers it, and is woken once.

    path:    of the Unix socket.
    handler: called with each request's environ, on up to `threads` threads at a time.

    Waitress, which has been imported, reads the requests.
    """

    def __init__(self, path: str, threads: int, handler: Callable[[dict[str, Any]], Response]) -> None:
        self._handler = handler
        self._free = threading.Semaphore(threads)
        self._parser = importlib.import_module("waitress.parser").HTTPRequestParser
        self._task = importlib.import_module("waitress.task").WSGITask
        adjustments = importlib.import_module("waitress.adjustments").Adjustments
        # The front has looked at the size of what it sends.
        sizes = {"max_request_header_size": sys.maxsize, "max_request_body_size": sys.maxsize}
        self._adjustments = adjustments(unix_socket=path, ident=None, **sizes)
        error = importlib.import_module("waitress.utilities").Error
        self._no_room = type("NoRoom", (error,), {"code": 507, "reason": "Insufficient Storage"})
        # What a task asks of its channel to make an environ.
        server = SimpleNamespace(adj=self._adjustments, effective_port=path, server_name="localhost")
        self._channel = SimpleNamespace(server=server, addr=("localhost", None), check_client_disconnected=None)
        self._listener = socket.socket(socket.AF_UNIX)
        # An app's `socket.setdefaulttimeout` is not for us.
        self._listener.settimeout(None)
        self._listener.bind(path)
        os.chmod(path, 0o600)
        self._listener.listen(1024)

    def run(self) -> None:
        """Accepts connections for as long as the process lives."""
        while True:
            try:
                connection = self._listener.accept()[0]
                connection.settimeout(None)
                threading.Thread(target=self._serve, args=(connection,), name="request", daemon=True).start()
            except (OSError, RuntimeError):
                # Too many open files, or threads: the app's own may go.
                time.sleep(PAUSE_SECONDS)

    def _serve(self, connection: socket.socket) -> None:
        # The front has gone, or has given up this request.
        with connection, contextlib.suppress(OSError):
            while self._serve_one(connection):
                pass

    def _serve_one(self, connection: socket.socket) -> bool:
        """Whether another request may follow."""
        request = self._parser(self._adjustments)
        try:
            if not self._receive(connection, request):
                return False
            status, headers, body = self._answer(request)
        finally:
            with contextlib.suppress(OSError):
                request.close()
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), "", ""]
        head = "\r\n".join(lines).encode("latin-1")
        if len(body) <= RECEIVE_BYTES:
            connection.sendall(head + body)
        else:
            connection.sendall(head)
            connection.sendall(body)
        return request.error is None

    def _receive(self, connection: socket.socket, request: Any) -> bool:
        """Reads all of the next request; whether there was one. One whose body cannot be kept has an `error`."""
        while not request.completed:
            data = connection.recv(RECEIVE_BYTES)
            if not data:
                return False
            while data and not request.completed:
                try:
                    data = data[request.received(data) :]
                except OSError as error:
                    text = f"The app's temporary folder has no room for the body of this request: {error.strerror}."
                    request.error, request.completed = self._no_room(text), True
        return not request.empty

    def _answer(self, request: Any) -> Response:
        if request.error is not None:
            status, headers, body = request.error.to_response()
            return status, [*headers, ("Content-Length", str(len(body)))], body
        environ = self._task(self._channel, request).get_environment()
        # It cannot be known here while the app runs.
        del environ["waitress.client_disconnected"]
        with self._free:
            return self._handler(environ)
