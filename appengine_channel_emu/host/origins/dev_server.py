"""An SDK app: an unmodified legacy app behind the SDK's own dev_appserver.py."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.host.answer_reader import HttpAnswer
from appengine_channel_emu.host.backend import AppDescription
from appengine_channel_emu.host.errors import BackendUnavailable, CannotStart, DevServerSilent, HandlerCut, Overrun
from appengine_channel_emu.host.exchange import ConnectionPool, HttpRequest, tcp_socket
from appengine_channel_emu.host.login import way_to_the_form
from appengine_channel_emu.host.origins.dev_server_process import (
    GRACE_SECONDS,
    LOOPBACK,
    DevServerProcess,
    DevServerSpec,
)
from appengine_channel_emu.host.process import CrashPause, python_version
from appengine_channel_emu.host.proxy import REQUEST_HEADER, RESULT_HEADER, AboutRequest, Origin

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

QUEUE_SECONDS = 60.0
"""How long a request may wait for the dev server and its instance, beside its own time (behaviour.md 6, rule 1)."""

log = logging.getLogger("channel_emu.sdk")


class DevServerOrigin(Origin):
    """The app of `spec`, in a dev server that is started again when it has ended."""

    def __init__(self, spec: DevServerSpec) -> None:
        self._spec = spec
        self.description = AppDescription("SDK app", str(spec.yaml), python_version(spec.python))
        self._lock = threading.Lock()
        self._process: DevServerProcess | None = None
        self._connections: ConnectionPool | None = None
        self._pause = CrashPause()
        self._last_dead: DevServerProcess | None = None
        self._stopped = False

    def start(self) -> None:
        """See `Backend`: returns when the dev server's port accepts."""
        with self._lock:
            self._start()
        assert self._process is not None
        log.info(
            "The SDK's admin server (datastore, task queues, memcache): http://%s:%d",
            LOOPBACK,
            self._process.admin_port,
        )

    def stop(self) -> None:
        """See `Backend`."""
        self._stopped = True
        # First without the lock, which a start holds until the dev server answers.
        if self._process is not None:
            self._process.stop()
        with self._lock:
            if self._process is not None:
                self._process.stop()
            if self._connections is not None:
                self._connections.close()

    def send(self, request: HttpRequest, about: AboutRequest) -> HttpAnswer:
        """See `Origin`. A post passes `login: admin`, as the real presence posts did."""
        if about.post_seconds is not None:
            request.headers["X-AppEngine-Fake-Is-Admin"] = "1"
            return self._exchange(request, about, about.post_seconds)
        form = way_to_the_form(about.environ)
        if form is not None:
            return HttpAnswer(302, "Found", [("Location", form), ("Cache-Control", "no-store")], io.BytesIO(), 0, 0)
        request.target = _as_the_sdk_reads_it(request.target)
        started, deadline = time.monotonic(), self._spec.deadline
        limit = None if deadline is None else deadline + GRACE_SECONDS + QUEUE_SECONDS
        try:
            answer = self._exchange(request, about, limit)
        except Overrun:
            text = "The app's dev server took no notice of this request for too long. Its log may say why."
            raise DevServerSilent(text) from None
        return self._checked(answer, time.monotonic() - started)

    def _exchange(self, request: HttpRequest, about: AboutRequest, seconds: float | None) -> HttpAnswer:
        process, connections = self._current()
        request_info = {
            "secret": process.secret,
            "environ": _environ_for_app(about.environ),
            "request_id": about.request_id,
        }
        request.headers[REQUEST_HEADER] = json.dumps(request_info)
        with process.log.of_request(request.method, request.target):
            return connections.exchange(request, seconds)

    def _checked(self, answer: HttpAnswer, held: float) -> HttpAnswer:
        """The answer with what is known of its handler. Raises `HandlerCut`."""
        result = json.loads(answer.header(RESULT_HEADER) or "{}")
        if "failure" in result or self._was_killed(answer, result, held):
            answer.body.close()
            cut = HandlerCut("The request was ended at its deadline.")
            cut.cpu_seconds = result.get("cpu")
            raise cut
        answer.cpu_seconds, answer.cut = result.get("cpu"), result.get("cut", False)
        return answer

    def _current(self) -> tuple[DevServerProcess, ConnectionPool]:
        with self._lock:
            if self._process is None or self._process.ended is not None:
                self._restart()
            assert self._process is not None
            assert self._connections is not None
            return self._process, self._connections

    def _restart(self) -> None:
        if self._stopped:
            raise BackendUnavailable("The emulator is stopping.")
        dead = self._process
        if dead is not None:
            if dead is not self._last_dead:
                self._last_dead = dead
                self._pause.crashed(dead.started_at, dead.ended_at)
            if not self._pause.is_over:
                raise BackendUnavailable(f"dev_appserver.py {dead.ended}, again and again; its log says why.")
            log.warning("dev_appserver.py %s; it is started again.", dead.ended)
            dead.stop()
        try:
            self._start()
        except CannotStart as error:
            raise BackendUnavailable(str(error)) from error

    def _start(self) -> None:
        process = self._process = DevServerProcess(self._spec)
        if self._stopped:
            process.stop()
            raise CannotStart("The emulator is stopping.")
        if self._connections is not None:
            self._connections.close()
        self._connections = ConnectionPool(lambda: tcp_socket(LOOPBACK, process.port), "dev_appserver.py")
        try:
            process.wait_until_it_answers()
        except CannotStart:
            process.stop()
            raise

    def _was_killed(self, answer: HttpAnswer, result: dict[str, Any], held: float) -> bool:
        """Whether it ran in an instance that hung so that it had to be killed: the dev server answers for it."""
        deadline = self._spec.deadline
        return deadline is not None and not result and answer.status == 500 and held > deadline


def _as_the_sdk_reads_it(target: str) -> str:
    """Its server takes a path with `://` in it for a whole address, and refuses what has a fragment."""
    path, question_mark, query = target.partition("#")[0].partition("?")
    return f"{path.replace('://', '%3A//')}{question_mark}{query}"


def _environ_for_app(environ: WSGIEnvironment) -> dict[str, str]:
    """What the app shall see of who asks, who talks to the front and not to the dev server."""
    host = environ.get("HTTP_HOST") or str(environ["SERVER_NAME"])
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    port = str(environ["SERVER_PORT"])
    seen = {
        "REMOTE_ADDR": environ.get("REMOTE_ADDR", LOOPBACK),
        "SERVER_PORT": port,
        "DEFAULT_VERSION_HOSTNAME": f"{name}:{port}",
    }
    if environ.get("wsgi.url_scheme") == "https":
        seen["DEV_LOCALSSL"] = "1"
    return seen
