"""An upstream app: in any language, and running already."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from urllib.parse import urlsplit

from appengine_channel_emu.environment import variables
from appengine_channel_emu.host.answer_reader import HttpAnswer
from appengine_channel_emu.host.backend import AppDescription
from appengine_channel_emu.host.errors import CannotStart, Unreachable
from appengine_channel_emu.host.exchange import ConnectionPool, HttpRequest, tcp_socket
from appengine_channel_emu.host.proxy import AboutRequest, Origin

# As `proxy.forwarded` writes names: what a visitor may have sent in their place must not stand beside them.
USER_IP_HEADER = "X-Appengine-User-Ip"
"""In which App Engine told apps in processes of their own where a request came from."""
TICKET_HEADER = "X-Appengine-Api-Ticket"
"""In which it named the request, for the app's calls of the server API."""

LOOK_SECONDS = 1.0
CLOSING_SECONDS = 0.05
"""How soon a connection that leads to nobody is closed."""

log = logging.getLogger("channel_emu.upstream")


class UpstreamOrigin(Origin):
    """Passes requests on to `url`, `http://host:port`.

    address:  the emulator's `host:port`, where the app reaches it.
    deadline: seconds for the whole of an exchange, None for no limit. The app itself goes on: it is not ours.

    Raises `CannotStart` for a url that cannot be passed on to.
    """

    looks_for_app = True

    def __init__(self, url: str, address: str, deadline: float | None) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise CannotStart(
                f"--upstream {url}: give the app's own address on this machine, such as http://localhost:3000"
            )
        host, port = parts.hostname, parts.port or 80
        if f"{host}:{port}" == address:
            raise CannotStart(f"--upstream {url} is the emulator itself; give the address of the app.")
        self._server = host, port
        self._looking = threading.Lock()
        self._unreachable: str | None = None
        self._address = address
        self._deadline = deadline
        self.description = AppDescription("upstream app", url)
        self._name = f"The app at {url}"
        self._connections = ConnectionPool(lambda: tcp_socket(host, port), self._name)

    def start(self) -> None:
        """See `Backend`. An app that is not there yet is no error: visitors get 502 until it is."""
        names = " ".join(f"{name}={value}" for name, value in variables(self._address).items())
        log.info("%s reaches the emulator with %s in its environment.", self._name, names)
        why = self.why_unreachable()
        if why is not None:
            log.warning("%s Until it can be, its visitors get 502 and /_emu/health/ready says 503.", why)

    def why_unreachable(self) -> str | None:
        """See `Backend`. No request is sent; of several threads one looks, and the others take what it found before."""
        if self._looking.acquire(blocking=False):
            try:
                self._unreachable = self._look()
            finally:
                self._looking.release()
        return self._unreachable

    def _look(self) -> str | None:
        try:
            connection = socket.create_connection(self._server, LOOK_SECONDS)
        except (OSError, UnicodeError) as error:
            return str(Unreachable(self._name, error))
        # A container's port may be open before the app in it is: then it is closed at once.
        with connection, contextlib.suppress(TimeoutError):
            connection.settimeout(CLOSING_SECONDS)
            try:
                if connection.recv(1):
                    return None
            except ConnectionError:
                pass
            return f"{self._name} cannot be reached: it closes connections at once."
        return None

    def stop(self) -> None:
        """See `Backend`."""
        self._connections.close()

    def send(self, request: HttpRequest, about: AboutRequest) -> HttpAnswer:
        """See `Origin`. What the app is told of the visitor is in headers: it sees another connection."""
        fields, environ = request.headers, about.environ
        visitor = environ.get("REMOTE_ADDR", "127.0.0.1")
        fields[USER_IP_HEADER] = visitor
        if about.post_seconds is not None:
            return self._connections.exchange(request, about.post_seconds)
        if about.request_id is not None:
            # One that a visitor may send is here by --trust-appengine-headers alone.
            fields.setdefault(TICKET_HEADER, about.request_id)
        before = fields.get("X-Forwarded-For")
        fields["X-Forwarded-For"] = f"{before}, {visitor}" if before else visitor
        fields.setdefault("X-Forwarded-Proto", environ.get("wsgi.url_scheme", "http"))
        fields.setdefault("X-Forwarded-Host", environ.get("HTTP_HOST", self._address))
        return self._connections.exchange(request, self._deadline)
