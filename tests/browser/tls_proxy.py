"""A TLS proxy in front of the emulator, as `--trusted-proxy` expects one."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from pathlib import Path

from tests.support.nginx import make_certificate

CHUNK = 65536


class TlsProxy:
    """Forwards to `port` of this machine and says by X-Forwarded-Proto that it was asked over https.

    Its certificate is made in `folder`, and signed by nobody. Use it as a context manager.
    """

    def __init__(self, port: int, folder: Path) -> None:
        self._target = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*make_certificate(folder))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://localhost:{self._listener.getsockname()[1]}"

    def __enter__(self) -> TlsProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for sock in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=self._listener.accept()[:1], daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._target), 5) as server,
            self._context.wrap_socket(raw, server_side=True) as client,
        ):
            self._open |= {client, server}
            try:
                self._forward(client, server)
            finally:
                self._open -= {client, server}

    def _forward(self, client: ssl.SSLSocket, server: socket.socket) -> None:
        while True:
            ready, _, _ = select.select([client, server], [], [])
            data = ready[0].recv(CHUNK)
            if not data:
                return
            if client in ready:
                # Browsers send the head of a request in one piece, and no second one before the answer.
                head, line, rest = data.partition(b" HTTP/1.1\r\n")
                server.sendall(head + line + (b"X-Forwarded-Proto: https\r\n" if line else b"") + rest)
            else:
                client.sendall(data)
