"""A TLS proxy in front of the emulator, as `--trusted-proxy` expects one."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from pathlib import Path

from tests.browser.proxy import CHUNK, Proxy
from tests.support.nginx import make_certificate


class TlsProxy(Proxy):
    """Forwards to `port` of this machine and says by X-Forwarded-Proto that it was asked over https.

    Its certificate is made in `folder`, and signed by nobody. Use it as a context manager.
    """

    scheme = "https"
    host = "localhost"

    def __init__(self, port: int, folder: Path) -> None:
        super().__init__(port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*make_certificate(folder))

    def _serve(self, client: socket.socket, number: int) -> None:
        with self._context.wrap_socket(client, server_side=True, do_handshake_on_connect=False) as secure:
            self._open.add(secure)
            # The emulator may be away, or one side has gone.
            with contextlib.suppress(OSError):
                secure.do_handshake()
                with self._connect() as server:
                    self._forward(secure, server)

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
