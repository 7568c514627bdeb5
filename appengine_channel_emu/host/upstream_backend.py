"""The backend of an upstream app: in any language, and running already."""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from appengine_channel_emu.environment import variables
from appengine_channel_emu.host import proxy
from appengine_channel_emu.host.backend import AppAnswer, BackendUnavailable, CannotStart
from appengine_channel_emu.host.exchange import ExchangeFailed, Request, Unreachable, Upstream
from appengine_channel_emu.host.http_connection import TcpConnection
from appengine_channel_emu.host.presence import PRESENCE_ADDRESS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

USER_IP_HEADER = "X-AppEngine-User-IP"
"""In which App Engine told apps in processes of their own where a request came from."""

LOOK_SECONDS = 1.0
CLOSING_SECONDS = 0.05
"""How soon a connection that leads to nobody is closed."""

log = logging.getLogger("channel_emu.upstream")


class UpstreamBackend:
    """Passes requests on to `url`, `http://host:port`.

    address:  the emulator's `host:port`, where the app reaches it.
    deadline: seconds for the whole of an exchange, None for no limit. The app itself goes on: it is not ours.

    Raises `CannotStart` for a url that cannot be passed on to.
    """

    takes_presence = True
    presence_hint = None
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
        self._url = url
        self._server = host, port
        self._looking = threading.Lock()
        self._unreachable: str | None = None
        self._address = address
        self._deadline = deadline
        self._upstream = Upstream(lambda name: TcpConnection(host, port, name), f"The app at {url}")

    def start(self) -> None:
        """See `Backend`. An app that is not there yet is no error: visitors get 502 until it is."""
        names = " ".join(f"{name}={value}" for name, value in variables(self._address).items())
        log.info("The app at %s reaches the emulator with %s in its environment.", self._url, names)
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
        name = f"The app at {self._url}"
        try:
            connection = socket.create_connection(self._server, LOOK_SECONDS)
        except (OSError, UnicodeError) as error:
            return str(Unreachable(name, error))
        # A container's port may be open before the app in it is: then it is closed at once.
        with connection, contextlib.suppress(TimeoutError):
            connection.settimeout(CLOSING_SECONDS)
            try:
                if connection.recv(1):
                    return None
            except ConnectionError:
                pass
            return f"{name} cannot be reached: it closes connections at once."
        return None

    def stop(self) -> None:
        """See `Backend`."""
        self._upstream.close()

    def serve(self, environ: WSGIEnvironment, request_id: str | None) -> AppAnswer:
        """See `Backend`."""
        visitor = environ.get("REMOTE_ADDR", "127.0.0.1")
        environ["HTTP_X_APPENGINE_USER_IP"] = visitor
        if request_id is not None:
            # One that a visitor may send is here by --trust-appengine-headers alone.
            environ.setdefault("HTTP_X_APPENGINE_API_TICKET", request_id)
        before = environ.get("HTTP_X_FORWARDED_FOR")
        environ["HTTP_X_FORWARDED_FOR"] = f"{before}, {visitor}" if before else visitor
        environ.setdefault("HTTP_X_FORWARDED_PROTO", environ.get("wsgi.url_scheme", "http"))
        environ.setdefault("HTTP_X_FORWARDED_HOST", environ.get("HTTP_HOST", self._address))
        return proxy.serve(self._upstream, environ, deadline=self._deadline)

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        """See `Backend`. The header says where the post comes from; the connection cannot."""
        fields = {"Host": self._address, "Content-Type": content_type, USER_IP_HEADER: PRESENCE_ADDRESS}
        try:
            answer = self._upstream.exchange(Request("POST", path, fields, io.BytesIO(body), len(body)), timeout)
        except ExchangeFailed as failure:
            raise BackendUnavailable(str(failure)) from failure
        answer.body.close()
        return answer.status
