"""Serves what the front sends, over a Unix socket: a thread for each of the front's connections, and nothing between.

The front has as many connections as it has had requests at a time, and sends the next request on one when it has the
answer to the last. So the thread that waits for a connection's next request also answers it, and is woken once.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

RECEIVE_BYTES = 64 * 1024
PAUSE_SECONDS = 0.05
"""Before it tries again to accept a connection, when the process has no descriptor left."""

Response = tuple[str, list[tuple[str, str]], bytes]
"""Status, headers with the length of the body among them, and the body."""


class InstanceServer:
    """Has `handler` answer requests: called with each request's environ, on up to `threads` threads at a time.

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
